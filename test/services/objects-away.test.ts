import { createHash } from "node:crypto";
import { Client } from "minio";
import { expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { shellCall, startServer } from "../support/server.ts";
import { startMinio } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const minio = forThisFile(startMinio);
const awayMs = 20_000;

// Most of each is waiting, and each has a server, a bucket and a way to it of its own.
test.concurrent.each(["cut", "blackHole"] as const)(
  "an S3 server that is away (%s) while tasks end: they wait for it, and nothing of theirs is lost",
  async (fault) => {
    await using proxy = await startToxiproxy(minio(), 9000);
    await using toolx = await openCli();
    const { url, accessKey, secretKey } = minio();
    const { hostname, port } = new URL(url);
    const bucket = `tools-${fault.toLowerCase()}`;
    await new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey }).makeBucket(
      bucket,
    );
    const server = await startServer(toolx, {
      ...{ S3_ENDPOINT: `http://localhost:${proxy.port}`, S3_BUCKET: bucket },
      ...{ S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey, TOOL_EXECUTOR_MAX_WORKERS: "4" },
    });
    await until("it is ready", async () => (await server.ask("/readyz")).status === 200, 30_000);

    // The first ones are at the middle of their output when it happens, some of it more than one part of an upload.
    const ids = Array.from({ length: 8 }, (_, at) => `t-${at}`);
    const command = (id: string) =>
      `sleep 1; echo ${id}; head -c 20M /dev/urandom >/output/noise; sha256sum </output/noise`;
    await Promise.all(ids.map((id) => server.submit(shellCall(id, command(id)))));
    const states = async (): Promise<readonly string[]> => {
      const { tasks } = JSON.parse((await server.ask("/v1/tasks")).body.toString());
      return tasks.map(({ state }: { readonly state: string }) => state);
    };
    await until("the first collect or run", async () => (await states()).some((state) => state !== "QUEUED"), 30_000);
    await proxy[fault]();
    const awayUntil = performance.now() + awayMs;
    await until(
      "four are at their end and wait",
      async () => (await states()).filter((state) => state === "COLLECTING").length === 4,
      60_000,
    );
    await until("it was away for long enough", () => performance.now() >= awayUntil, awayMs + 1000);
    expect(await states()).not.toContain("FINISHED");
    expect((await server.ask("/readyz")).body.toString()).toContain("objects");
    await proxy.mend();

    for (const id of ids) {
      const answer = await server.ask(`/v1/tasks/${id}?wait=60s`);
      const result = JSON.parse(answer.body.toString()) as Result;
      expect(result).toMatchObject({ reason: "ok", attempt: 1 });
      const [, sha256] = result.output.stdout.split(/\s+/);
      const { body } = await server.ask(`/v1/tasks/${id}/artifacts/noise`);
      expect([id, createHash("sha256").update(body).digest("hex")]).toEqual([id, sha256]);
    }
    server.process.child.kill("SIGTERM");
    expect(await server.process.ended()).toMatchObject({ code: 0 });
    expect(await toolx.leftovers()).toEqual([]);
  },
);
