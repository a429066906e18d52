import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { Client } from "minio";
import type { Result } from "../../src/model/result.ts";
import { startMinio } from "../support/services.ts";
import { noiseCommand, noiseDigest, peakRssBytes } from "../support/streams.ts";
import type { Contestant } from "./contestants.ts";
import { interleaved, medianOf, rowsOf } from "./interleaved.ts";
import { type Bench, type Part, ratio } from "./part.ts";

const shareBar = 0.7;
const growthBarMib = 64;
const maxRounds = 5;
const mib = 1024 ** 2;
const bucket = "bench";

/** One large artifact, from its task's end to the stored result, beside the S3 client that has as many bytes at hand. */
export const artifactsPart: Part = {
  name: "artifacts",
  async measure(bench) {
    const { bulkBytes } = bench;
    await using server = await startMinio();
    const { hostname, port } = new URL(server.url);
    const { accessKey, secretKey } = server;
    const s3 = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
    await s3.makeBucket(bucket);
    const keys = { S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey };
    const env = { ...bench.env, S3_ENDPOINT: server.url, S3_BUCKET: bucket, ...keys };
    const { sha256 } = await noiseDigest(bulkBytes);

    const smallMib = (await ourRun(bench, env, 1000)).peakMib;
    const peaks: number[] = [];
    const ours: Contestant = {
      name: "toolx run",
      async round() {
        const { result, peakMib } = await ourRun(bench, env, bulkBytes);
        const [artifact] = result.output.artifacts;
        if (artifact?.sha256 !== sha256) throw new Error(`not the artifact of the task: ${JSON.stringify(artifact)}`);
        peaks.push(peakMib);
        const { duration_ms, queue_ms, start_ms, run_ms } = result.metrics;
        const collectMs = (duration_ms ?? 0) - (queue_ms ?? 0) - (start_ms ?? 0) - (run_ms ?? 0);
        return { "MB/s": bulkBytes / 1e6 / (collectMs / 1000) };
      },
      settled: () => emptied(s3),
    };
    const client: Contestant = {
      name: "S3 client alone",
      async round() {
        const startedAt = performance.now();
        await s3.putObject(bucket, "alone", Readable.from(noise(bulkBytes)), bulkBytes);
        return { "MB/s": bulkBytes / 1e6 / ((performance.now() - startedAt) / 1000) };
      },
      settled: () => emptied(s3),
    };
    const rounds = Math.min(bench.rounds, maxRounds);
    const samples = await interleaved([ours, client], rounds, 1);
    const median = (name: string): number => medianOf(samples, `${name}, MB/s`);
    return {
      conditions: {
        task: `one file of ${bulkBytes / mib} MiB in /output, image shell, runc; from the task's own end to its result, hashed on the way`,
        server: "MinIO in a container, one disk",
        client: "minio for Node.js, one stream of known length, bytes from memory",
      },
      tables: [{ title: `MB a second, ${rounds} interleaved rounds after one to warm up`, rows: rowsOf(samples) }],
      verdicts: [
        ratio("toolx run / S3 client alone", median("toolx run") / median("S3 client alone"), "more", {
          atLeast: shareBar,
        }),
        {
          ...{ name: "our memory grows by", value: Math.max(...peaks) - smallMib, unit: "MiB" },
          bar: { atMost: growthBarMib },
        },
      ],
    };
  },
};

/** A whole process. */
async function ourRun(
  { checkout }: Bench,
  env: NodeJS.ProcessEnv,
  bytes: number,
): Promise<{ readonly result: Result; readonly peakMib: number }> {
  const sizes = ["--output-size", `${Math.ceil(bytes / mib) + 64}m`, "--timeout", "300s"];
  const command = `${noiseCommand(bytes)} > /output/noise`;
  const child = spawn(join(checkout, "bin/toolx"), ["run", "shell", "-o", "json", ...sizes, "--", command], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [printed, peakBytes] = await Promise.all([text(child.stdout), peakRssBytes(child), once(child, "close")]);
  const result = JSON.parse(printed) as Result;
  if (result.reason !== "ok") throw new Error(`toolx run: ${result.reason}: ${JSON.stringify(result.error)}`);
  return { result, peakMib: peakBytes / mib };
}

/** Bytes that look random, as quickly as memory has them. */
function* noise(bytes: number): Generator<Buffer> {
  const piece = randomBytes(mib);
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
}

/** So that the server's disk has the same room for each. */
async function emptied(s3: Client): Promise<void> {
  const names: string[] = [];
  for await (const { name } of s3.listObjectsV2(bucket, "", true)) if (name !== undefined) names.push(name);
  await s3.removeObjects(bucket, names);
}
