import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Result } from "../../src/model/result.ts";
import { until } from "../support/until.ts";

/**
 * A warm `true` over HTTP, from the request to the answer that is durably stored (sqlite, full sync), beside `docker run --rm` of the same
 * image under the same runtime, in one interleaved run. Between the two it waits until all stand ready again, so that neither meets a start.
 */
const { values: flags } = parseArgs({
  options: { runs: { type: "string", default: "50" }, runtime: { type: "string", default: "runc" } },
});
const rounds = Number(flags.runs);
const warmUpRounds = 3;
const readyCount = 2;

const checkout = dirname(dirname(import.meta.dirname));
const folder = await mkdtemp(join(tmpdir(), "toolx-bench-"));
const server = spawn(join(checkout, "bin/toolx"), ["serve"], {
  stdio: ["ignore", "ignore", "pipe"],
  env: {
    ...process.env,
    TOOL_EXECUTOR_DATA: join(folder, "data"),
    SANDBOX_ROOT: join(folder, "scratch"),
    TOOL_EXECUTOR_RUNTIME_DIR: join(folder, "run"),
    TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0",
    TOOL_EXECUTOR_PROBE_MINUTES: "0",
    TOOL_EXECUTOR_RUNTIMES: flags.runtime,
    TOOL_EXECUTOR_WARM_POOL_MAX: String(readyCount),
    TOOL_EXECUTOR_WARM_POOL_MIN: String(readyCount),
    TOOL_EXECUTOR_WARM_POOL_IMAGES: "shell",
  },
});
let said = "";
server.stderr.on("data", (chunk: Buffer) => {
  said += chunk.toString();
});

try {
  const [, url = ""] = await until("the server serves", () => /^serving {2}(http\S+)/m.exec(said), 30_000);
  await bench(url);
} finally {
  server.kill("SIGTERM");
  await once(server, "close");
  await rm(folder, { recursive: true, force: true });
}

async function bench(url: string): Promise<void> {
  const [answered, started, byDocker]: number[][] = [[], [], []];
  let imageId = "";
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    await allReady(url);
    const { tookMs, result } = await call(url, `t-${round + warmUpRounds}`);
    if (result.reason !== "ok" || result.sandbox?.warm !== true) throw new Error(`not warm: ${JSON.stringify(result)}`);
    imageId = result.sandbox.image_id;
    await allReady(url);
    const dockerMs = await dockerRun(imageId);
    if (round < 0) continue;
    answered?.push(tookMs);
    started?.push(result.metrics.start_ms ?? Number.NaN);
    byDocker?.push(dockerMs);
  }
  const rows = {
    "warm, HTTP to stored answer": answered,
    "of it, leased to started": started,
    "docker run --rm": byDocker,
  };
  process.stdout.write(
    `milliseconds, ${rounds} interleaved rounds under ${flags.runtime}        p50      p99      max\n`,
  );
  for (const [name, times = []] of Object.entries(rows)) {
    const cells = [0.5, 0.99, 1].map((share) => atShare(times, share).toFixed(1).padStart(9));
    process.stdout.write(`${name.padEnd(44)}${cells.join("")}\n`);
  }
  const ratio = atShare(byDocker ?? [], 0.5) / atShare(answered ?? [], 0.5);
  process.stdout.write(`docker run --rm / warm, medians: ${ratio.toFixed(1)}\n`);
}

/** Ready, and the machine left alone for a moment. */
async function allReady(url: string): Promise<void> {
  const line = `tool_executor_warm_sandboxes{state="ready"} ${readyCount}`;
  const isReady = async (): Promise<boolean> => (await (await fetch(`${url}/metrics`)).text()).includes(line);
  await until("all stand ready", isReady, 60_000);
  await sleep(150);
}

async function call(url: string, taskId: string): Promise<{ readonly tookMs: number; readonly result: Result }> {
  const body = JSON.stringify({ task_id: taskId, tool_name: "shell", payload: { argv: ["true"] } });
  const headers = { "content-type": "application/json" };
  const startedAt = performance.now();
  const answer = await fetch(`${url}/v1/tasks?wait=30s`, { method: "POST", headers, body });
  const result = (await answer.json()) as Result;
  return { tookMs: performance.now() - startedAt, result };
}

async function dockerRun(imageId: string): Promise<number> {
  const startedAt = performance.now();
  const args = ["run", "--rm", "--runtime", flags.runtime, "--entrypoint", "/bin/true", imageId];
  const [code] = await once(spawn("docker", args, { stdio: "ignore" }), "close");
  if (code !== 0) throw new Error(`docker ${args.join(" ")} ended with ${code}`);
  return performance.now() - startedAt;
}

/** Nearest rank: always a time that was measured. */
function atShare(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
