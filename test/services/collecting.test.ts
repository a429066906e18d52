import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "minio";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { type S3Server, startMinio } from "../support/services.ts";
import { startToxiproxy, type Toxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const bucket = "tools";
let minio: S3Server;
let proxy: Toxiproxy;

beforeAll(async () => {
  minio = await startMinio();
  proxy = await startToxiproxy(minio, 9000);
  const { hostname, port } = new URL(minio.url);
  const { accessKey, secretKey } = minio;
  await new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey }).makeBucket(bucket);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await minio[Symbol.asyncDispose]();
});

beforeEach(() => proxy.mend());

const settings = (): Readonly<Record<string, string>> => ({
  S3_ENDPOINT: `http://localhost:${proxy.port}`,
  ...{ S3_BUCKET: bucket, S3_ACCESS_KEY: minio.accessKey, S3_SECRET_KEY: minio.secretKey },
});

/** A server that was killed while it brought what these tasks had left to a bucket that takes nothing. */
async function killedWhileCollecting(toolx: Cli, calls: readonly object[], ids: readonly string[]): Promise<void> {
  const server = await startServer(toolx, settings());
  for (const call of calls) await server.submit(call);
  await Promise.all(
    ids.map((id) => until(`${id} runs`, async () => (await logOf(server, id)).includes("ready"), 60_000)),
  );
  await proxy.blackHole();
  const isCollecting = async (id: string): Promise<boolean> => (await taskOf(server, id)).state === "COLLECTING";
  await Promise.all(ids.map((id) => until(`${id} is collected`, () => isCollecting(id), 60_000)));
  server.process.child.kill("SIGKILL");
  await server.process.ended();
  await proxy.mend();
}

const taskOf = async (server: Server, id: string): Promise<{ readonly state: string; readonly attempt: number }> =>
  JSON.parse((await server.ask(`/v1/tasks/${id}`)).body.toString());

const logOf = async (server: Server, id: string): Promise<string> =>
  (await server.ask(`/v1/tasks/${id}/logs`)).body.toString();

test("an executor that dies while what its tasks left is stored costs nothing: the next one stores it, under the same attempt", async () => {
  await using toolx = await openCli({ ownHost: true });
  // What ran twice would say so: its folder is of its sandbox alone, but its time is not.
  const small = "echo ready; sleep 2; date +%s%N | tee /output/when; echo over >&2; exit 3";
  const json =
    "echo ready; sleep 2; echo '{\"n\":1}' > /output/result.json; mkdir /output/d; seq 1 100000 > /output/d/seq";
  await killedWhileCollecting(
    toolx,
    [shellCall("t-small", small, { retry: "unsafe" }), shellCall("t-value", json, { retry: "unsafe" })],
    ["t-small", "t-value"],
  );

  const server = await startServer(toolx, settings());
  expect(server.process.stderr()).toContain("2 tasks taken over");
  const failed = await server.result("t-small");
  expect(failed).toMatchObject({ reason: "nonzero_exit", exit_code: 3, attempt: 1, output: { stderr: "over\n" } });
  expect(failed.output.artifacts.map(({ path }) => path)).toEqual(["when"]);
  const value = await server.result("t-value");
  expect(value).toMatchObject({ reason: "ok", attempt: 1, output: { value: { n: 1 } } });
  expect(value.output.artifacts.map(({ path }) => path)).toEqual(["d/seq", "result.json"]);

  for (const id of ["t-small", "t-value"])
    expect((await toolx.run(["artifacts", "pull", id, "--out", id], { env: settings() })).code).toBe(0);
  expect(`ready\n${await readFile(join(toolx.workDir, "t-small", "when"), "utf8")}`).toBe(failed.output.stdout);
  const seq = Array.from({ length: 100_000 }, (_, at) => `${at + 1}\n`).join("");
  expect(await readFile(join(toolx.workDir, "t-value", "d/seq"), "utf8")).toBe(seq);
  await stopServer(server);
  expect(await toolx.leftovers()).toEqual([]);
});

/** What it printed of its file before the executor died, and what was kept of that in the end. */
const expectWhole = ({ output }: Result): void =>
  expect(output.stdout).toBe(`ready\n${output.artifacts[0]?.sha256}  -\n`);

test("of more than the sandbox keeps for a successor nothing comes in part: a safe task runs again, and an unsafe one is lost, if it was too late", async () => {
  await using toolx = await openCli({ ownHost: true });
  const large = "echo ready; sleep 2; head -c 20M /dev/urandom > /output/large; sha256sum < /output/large";
  await killedWhileCollecting(
    toolx,
    [shellCall("t-safe", large, { retry: "safe" }), shellCall("t-unsafe", large, { retry: "unsafe" })],
    ["t-safe", "t-unsafe"],
  );
  const server = await startServer(toolx, settings());
  const unsafe = await server.result("t-unsafe");
  expect(unsafe.attempt).toBe(1);
  // How much of it had been taken when the executor died nobody sees from outside.
  if (unsafe.reason === "ok") expectWhole(unsafe);
  else expect(unsafe.reason).toBe("worker_lost");
  const safe = await server.result("t-safe");
  expect(safe.reason).toBe("ok");
  expectWhole(safe);
  await stopServer(server);
  expect(await toolx.leftovers()).toEqual([]);
});
