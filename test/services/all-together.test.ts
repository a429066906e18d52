import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { Client } from "minio";
import { extract } from "tar-stream";
import { expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { kafkaPython } from "../support/kafka-python.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import { receiver } from "../support/receiver.ts";
import { type Server, startServer } from "../support/server.ts";
import { startKafka, startLoki, startMinio, startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";

const run = promisify(execFile);
const broker = forThisFile(() => startKafka());
const postgres = forThisFile(startPostgres);
const minio = forThisFile(startMinio);
const loki = forThisFile(startLoki);
const packages = forThisFile(kafkaPython);

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const program = `
import time, pathlib, hashlib
print("first line", flush=True)
time.sleep(5)
pathlib.Path("/output/noise.bin").write_bytes(bytes(range(256)) * 4096)
print("last line")
{"answer": 6 * 7}
`;
const sha256 = createHash("sha256")
  .update(Buffer.alloc(1024 * 1024, Buffer.from(Array.from({ length: 256 }, (_, at) => at))))
  .digest("hex");
const callFor = (taskId: string, more: object = {}) =>
  JSON.stringify({
    task_id: taskId,
    tool_name: "code_interpreter",
    payload: { language: "python", code: program },
    ...more,
  });

const store = () => {
  const { hostname, port } = new URL(minio().url);
  const { accessKey, secretKey } = minio();
  return new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
};

/** The lines of a task that can be queried now. */
async function linesInLoki(taskId: string): Promise<readonly string[]> {
  const query = new URLSearchParams({ query: `{app="tool-executor", stream="stdout"} | task_id="${taskId}"` });
  const answer = await fetch(`${loki().url}/loki/api/v1/query_range?${query}&direction=forward`);
  const { data } = (await answer.json()) as { data: { result: { values: [string, string][] }[] } };
  return data.result.flatMap(({ values }) => values.map(([, line]) => line));
}

async function psql(statement: string): Promise<string> {
  const url = `postgres://postgres:${encodeURIComponent(postgres().password)}@127.0.0.1/postgres`;
  const command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, url];
  const { output, exitCode } = await postgres().container.exec(command);
  expect(exitCode, output).toBe(0);
  return output.trim();
}

async function counted(server: Server, sample: string): Promise<number> {
  const text = (await server.ask("/metrics")).body.toString();
  const line = text.split("\n").find((each) => each.startsWith(`${sample} `));
  return Number(line?.slice(sample.length) ?? 0);
}

/** One file of a tar of the store. */
async function fileIn(key: string, path: string): Promise<Buffer | null> {
  let found: Buffer | null = null;
  const unpacked = (await store().getObject("tools", key)).pipe(extract());
  for await (const entry of unpacked) {
    const bytes = await buffer(entry);
    if (entry.header.name === path) found = bytes;
  }
  return found;
}

async function expectStored(taskId: string, result: Result): Promise<void> {
  expect(result).toMatchObject({
    ...{ status: "success", reason: "ok" },
    output: { stdout: "first line\nlast line\n", value: { answer: 42 }, artifacts: [{ path: "noise.bin", sha256 }] },
  });
  const bytes = await fileIn(result.output.artifacts_object ?? "", "noise.bin");
  expect(
    createHash("sha256")
      .update(bytes ?? "")
      .digest("hex"),
  ).toBe(sha256);
  const logs = await buffer(await store().getObject("tools", result.output.logs_object ?? ""));
  expect(gunzipSync(logs).toString()).toContain("last line");
  expect(await psql(`select state, reason, attempt from tasks where task_id = '${taskId}'`)).toBe("FINISHED|ok|1");
}

test("a call of a Python client runs Python, and everybody around it finds their part of it; the same over HTTP with a callback", async () => {
  await using collector = await startOtlpReceiver();
  await using told = await receiver();
  await using toolx = await openCli();
  await store().makeBucket("tools");
  const { url, accessKey, secretKey } = minio();
  const env = {
    ...{ KAFKA_BROKERS: broker().broker, DATABASE_URL: postgres().url(), LOKI_URL: loki().url },
    ...{ S3_ENDPOINT: url, S3_BUCKET: "tools", S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, TOOL_EXECUTOR_CALLBACK_HOSTS: `${told.url}=127.0.0.0/8` },
    TOOL_EXECUTOR_CALLBACK_SECRET: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
  };
  expect(await toolx.run(["migrate"], { env })).toMatchObject({ code: 0 });
  const server = await startServer(toolx, env);
  await until("it is in its group", async () => (await server.ask("/readyz")).status === 200, 60_000);
  const ended = 'tool_executor_tasks_total{tool="code_interpreter",status="success",reason="ok"}';
  expect(await counted(server, ended)).toBe(0);

  const script = join(import.meta.dirname, "all-together.py");
  const args = [script, "t-kafka", callFor("t-kafka"), `00-${traceId}-00f067aa0ba902b7-01`];
  const answered = run("python3", args, {
    env: { ...process.env, KAFKA_BROKERS: broker().broker, PYTHONPATH: packages().folder },
    timeout: 90_000,
  });
  await until("a line in Loki", async () => (await linesInLoki("t-kafka")).includes("first line"), 60_000);
  expect(JSON.parse((await server.ask("/v1/tasks/t-kafka")).body.toString()).state).toBe("RUNNING");
  const bytes = (await answered).stdout;
  await expectStored("t-kafka", JSON.parse(bytes) as Result);
  expect((await server.ask("/v1/tasks/t-kafka")).body.toString()).toBe(bytes);
  expect(await linesInLoki("t-kafka")).toEqual(["first line", "last line"]);
  const names = ["intake", "lease", "attempt", "start", "run", "collect", "store", "publish"].sort();
  const spans = () => collector.spans().filter((span) => span.traceId === traceId);
  await until("the trace is whole", () => spans().length >= names.length, 30_000);
  expect(
    spans()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(names);
  expect(await counted(server, ended)).toBe(1);

  const request = callFor("t-http", { callback_url: `${told.url}/done` });
  const head = ["--silent", "--show-error", "--fail-with-body", "-H", "content-type: application/json"];
  const { stdout: overHttp } = await run("curl", [...head, "-d", request, `${server.url}/v1/tasks?wait=60s`]);
  await expectStored("t-http", JSON.parse(overHttp) as Result);
  await until("the callback", () => told.received.length === 1, 30_000);
  expect(told.received[0]?.body.toString()).toBe(overHttp);
  expect(await counted(server, ended)).toBe(2);

  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});
