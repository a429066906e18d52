import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Result } from "../../src/model/result.ts";
import { until } from "../support/until.ts";
import { leanClient } from "./lean-client.ts";
import type { Bench } from "./part.ts";

/** A `toolx serve` of its own. Dispose ends it as an operator does. */
export interface Serving extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** With which `toolx` finds this server. */
  readonly env: NodeJS.ProcessEnv;
  /** Over connections that are kept, with the milliseconds from the request to the whole answer. */
  ask(method: string, path: string, body?: object): Promise<Asked>;
  /** A task, from the request to its stored result, whatever its reason. */
  run(task: object): Promise<{ readonly tookMs: number; readonly result: Result }>;
  /** The same, and the sandbox must have stood ready, or must not have. @throws when the task did not succeed, too. */
  succeed(task: object, isWarm: boolean): Promise<{ readonly tookMs: number; readonly result: Result }>;
  /** A gauge of `/metrics`, as it stands there. */
  gauge(name: string): Promise<number>;
  /** Waits until so many sandboxes stand ready, and leaves the machine alone for a moment. */
  allReady(count: number): Promise<void>;
  /** Waits until nothing is under way, and what was is removed. */
  idle(): Promise<void>;
}

export interface Asked {
  readonly status: number;
  readonly body: string;
  readonly tookMs: number;
}

const startMs = 60_000;
const readyMs = 120_000;
/** Each question makes the server write half a hundred KiB. More of them would have it collect garbage while it is timed. */
const askEveryMs = 100;
const idleMs = 300_000;
/** After the last start of a sandbox, the engine still has something to do. */
const pauseMs = 150;
const waitSeconds = 300;

/** @param name of its folders, beside those of the part; that of the sockets is one for all. */
export async function startServing(
  { checkout, env }: Bench,
  name: string,
  settings: Readonly<Record<string, string>>,
): Promise<Serving> {
  const own: NodeJS.ProcessEnv = {
    ...env,
    TOOL_EXECUTOR_DATA: `${env.TOOL_EXECUTOR_DATA}-${name}`,
    SANDBOX_ROOT: `${env.SANDBOX_ROOT}-${name}`,
    // Sandboxes that try the walls would be in the way of those that are timed.
    TOOL_EXECUTOR_PROBE_MINUTES: "0",
    TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0",
    ...settings,
  };
  const child = spawn(join(checkout, "bin/toolx"), ["serve"], { env: own, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-65_536);
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1000 });
  const end = async (): Promise<void> => {
    agent.destroy();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  };
  const address = await until(
    "the server serves",
    () => {
      if (child.exitCode !== null) throw new Error(`toolx serve ended: ${said}`);
      return /^serving {2}(http:\S+)/m.exec(said)?.[1];
    },
    startMs,
  ).catch(async (error: unknown) => {
    await end();
    throw error;
  });

  const lean = leanClient(address);
  const ask: Serving["ask"] = async (method, path, body) => {
    const startedAt = performance.now();
    const sent = request(`${address}${path}`, {
      method,
      agent,
      ...(body !== undefined && { headers: { "content-type": "application/json" } }),
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [answer] = await once(sent, "response");
    return { status: answer.statusCode, body: await text(answer), tookMs: performance.now() - startedAt };
  };
  const run: Serving["run"] = async (task) => {
    const { status, body, tookMs } = await lean.post(`/v1/tasks?wait=${waitSeconds}s`, JSON.stringify(task));
    const result = JSON.parse(body) as Result;
    if (result.reason === undefined) throw new Error(`no result but ${status}: ${body.slice(0, 1000)}`);
    return { tookMs, result };
  };
  const gauge: Serving["gauge"] = async (name) => {
    const { body } = await ask("GET", "/metrics");
    const line = body.split("\n").find((each) => each.startsWith(`${name} `));
    if (line === undefined) throw new Error(`the server has no metric ${name}`);
    return Number(line.slice(name.length + 1));
  };
  return {
    pid: child.pid ?? 0,
    url: address,
    env: own,
    ask,
    run,
    async succeed(task, isWarm) {
      const { tookMs, result } = await run(task);
      if (result.reason !== "ok")
        throw new Error(`a task ended ${result.reason}: ${JSON.stringify(result.error)} ${result.output.stderr}`);
      if (result.sandbox?.warm !== isWarm)
        throw new Error(`its sandbox was ${isWarm ? "not" : ""} warm: ${JSON.stringify(result.sandbox)}`);
      return { tookMs, result };
    },
    gauge,
    async allReady(count) {
      const name = 'tool_executor_warm_sandboxes{state="ready"}';
      await until(`${count} sandboxes stand ready`, async () => (await gauge(name)) >= count, readyMs, askEveryMs);
      await sleep(pauseMs);
    },
    async idle() {
      await until("nothing is under way", async () => (await gauge("tool_executor_running")) === 0, idleMs);
    },
    async [Symbol.asyncDispose]() {
      lean[Symbol.dispose]();
      await end();
    },
  };
}

/** Settings of a server whose pool keeps so many sandboxes of each of these images ready, and no others. */
export const withPool = (each: number, ...images: readonly string[]): Readonly<Record<string, string>> => ({
  TOOL_EXECUTOR_WARM_POOL_MAX: String(each * images.length),
  TOOL_EXECUTOR_WARM_POOL_MIN: String(each),
  TOOL_EXECUTOR_WARM_POOL_IMAGES: images.join(","),
});

export const withoutPool: Readonly<Record<string, string>> = { TOOL_EXECUTOR_WARM_POOL_MAX: "0" };
