import { once } from "node:events";
import { readdirSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { Cli } from "../support/cli.ts";
import { cliForEachTest } from "../support/cli-for-each-test.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { until } from "../support/until.ts";

let toolx: Cli;
cliForEachTest(
  (cli) => {
    toolx = cli;
  },
  { ownHost: true },
);

async function running(server: Server, taskId: string): Promise<void> {
  const isReady = async () => (await server.ask(`/v1/tasks/${taskId}/logs`)).body.includes("ready");
  await until(`${taskId} runs`, isReady, 60_000);
}

const openFilesOf = ({ process }: Server): number => readdirSync(`/proc/${process.child.pid}/fd`).length;

/** Tasks that have an end, or run. */
async function begunTasks(server: Server): Promise<number> {
  const text = (await server.ask("/metrics")).body.toString();
  const sum = (pattern: RegExp): number =>
    [...text.matchAll(pattern)].reduce((all, [, count]) => all + Number(count), 0);
  return sum(/^tool_executor_tasks_total\{.*\} (\d+)$/gm) + sum(/^tool_executor_running (\d+)$/gm);
}

/** Sends so many calls over 32 connections, as fast as they are answered. */
function floodOf(server: Server, count: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const statuses = new Map<number, number>();
  let next = 0;
  let retryAfter = Number.POSITIVE_INFINITY;
  const headers = { "content-type": "application/json" };
  const send = async (body: string): Promise<void> => {
    const sent = httpRequest(`${server.url}/v1/tasks`, { method: "POST", agent, headers });
    sent.end(body);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    await buffer(answer);
    const status = answer.statusCode ?? 0;
    if (status === 429) retryAfter = Math.min(retryAfter, Number(answer.headers["retry-after"]));
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
  const sender = async (): Promise<void> => {
    for (let number = next++; number < count; number = next++)
      await send(JSON.stringify(shellCall(`f-${number}`, "true")));
  };
  const sending = Promise.all(Array.from({ length: 32 }, sender));
  return {
    count: (status: number): number => statuses.get(status) ?? 0,
    retryAfter: () => retryAfter,
    async ended(): Promise<void> {
      await sending;
      agent.destroy();
    },
  };
}

const problemOf = ({ body }: { readonly body: Buffer }) => JSON.parse(body.toString());

test("G25 a queue that is full refuses with 429 and Retry-After, and 125 on the command line; other tenants get in", async () => {
  const settings = { TOOL_EXECUTOR_MAX_WORKERS: "1", TOOL_EXECUTOR_MAX_QUEUED_PER_TENANT: "2" };
  const server = await startServer(toolx, { ...settings, TOOL_EXECUTOR_DRAIN_SECONDS: "0" });
  await server.submit(shellCall("t-runs", "echo ready; sleep 60", { limits: { timeout_seconds: 90 } }));
  await running(server, "t-runs");
  for (const id of ["t-1", "t-2"]) expect((await server.submit(shellCall(id, "true"))).status).toBe(202);

  const refused = await server.submit(shellCall("t-3", "true"));
  expect(refused.status).toBe(429);
  expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
  expect(problemOf(refused)).toMatchObject({
    code: "quota",
    retryable: true,
    detail: "2 tasks of tenant default wait already, and no more may",
  });
  expect((await server.ask("/v1/tasks/t-3")).status).toBe(404);
  const { code, stderr } = await toolx.run(["run", "shell", "--", "true"]);
  expect({ code, stderr }).toMatchObject({ code: 125, stderr: expect.stringContaining("toolx: quota: 2 tasks of") });
  // The tasks that are known are answered as ever.
  expect((await server.submit(shellCall("t-1", "true"))).headers["tool-executor-intake"]).toBe("duplicate");

  const call = JSON.stringify(shellCall("s-1", "true", { tenant_id: "small" }));
  const headers = { "content-type": "application/json" };
  const other = await server.ask("/v1/tasks", { method: "POST", headers, body: call, local: true });
  expect(other.status).toBe(202);

  await server.ask("/v1/tasks/t-runs", { method: "DELETE" });
  await until("there is room", async () => (await server.submit(shellCall("t-3", "true"))).status === 202, 30_000);
  expect(await server.result("t-3")).toMatchObject({ reason: "ok" });
  await stopServer(server);
});

const floodCount = 100_000;
/** Of the small tenant, one after the other: so many at least, idle and in the flood. */
const smallCount = 20;
/** Much of what a task takes is the machine's, which has the flood to read beside it. */
const busyFactor = 3;

test("G25 a hundred thousand tasks at once from one tenant are bounded, and another tenant's wait for one of them at most", {
  timeout: 240_000,
}, async () => {
  const server = await startServer(toolx, { TOOL_EXECUTOR_MAX_WORKERS: "2", TOOL_EXECUTOR_DRAIN_SECONDS: "0" });
  const small = async (id: string): Promise<number> => {
    const call = JSON.stringify(shellCall(id, "true", { tenant_id: "small" }));
    const headers = { "content-type": "application/json" };
    const startedAt = performance.now();
    const answer = await server.ask("/v1/tasks?wait=60s", { method: "POST", headers, body: call, local: true });
    expect(problemOf(answer)).toMatchObject({ reason: "ok", tenant_id: "small" });
    return performance.now() - startedAt;
  };
  const p95 = async (name: string, goesOn: () => boolean): Promise<number> => {
    const times: number[] = [];
    while (times.length < smallCount || goesOn()) times.push(await small(`${name}-${times.length}`));
    return times.sort((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1] ?? Number.NaN;
  };
  const idleMs = await p95("idle", () => false);
  const files = openFilesOf(server);

  const flood = floodOf(server, floodCount);
  // While it comes, and behind it while thousands of it wait.
  const floodedMs = await p95("flooded", () => flood.count(202) + flood.count(429) < floodCount);
  await flood.ended();

  expect(flood.count(202) + flood.count(429)).toBe(floodCount);
  const begun = await begunTasks(server);
  expect(flood.count(202)).toBeGreaterThanOrEqual(10_000);
  expect(flood.count(202)).toBeLessThanOrEqual(10_000 + begun);
  expect(flood.retryAfter()).toBeGreaterThan(0);
  // Its own time, and that of the one task of the flood that it may find in the slot: they are alike.
  expect(floodedMs / idleMs, `${Math.round(floodedMs)} ms and ${Math.round(idleMs)} ms idle`).toBeLessThan(
    2 * busyFactor,
  );
  await until("the flood's connections are gone", () => openFilesOf(server) <= files + 8, 30_000);
  process.stdout.write(
    `G25  ${flood.count(202)} taken in, ${flood.count(429)} refused; p95 of another tenant ${(floodedMs / idleMs).toFixed(1)} x idle\n`,
  );
  await stopServer(server);
});

test("G15 a task whose executor dies of it is tried three times, then it is answered and a dead letter; others go on", async () => {
  const settings = { TOOL_EXECUTOR_DRAIN_SECONDS: "0" };
  const call = "echo ready; sleep 60";
  let server = await startServer(toolx, settings);
  await server.submit(shellCall("poison", call, { limits: { timeout_seconds: 90 } }));
  for (const time of [1, 2, 3]) {
    const isAtIt = async () => {
      const { state } = problemOf(await server.ask("/v1/tasks/poison"));
      // By a server that only just started, too: it goes on with what runs.
      return state === "RUNNING" && /^tool_executor_running 1$/m.test((await server.ask("/metrics")).body.toString());
    };
    await until(`it runs the ${time}. time`, isAtIt, 60_000);
    server.process.child.kill("SIGKILL");
    await server.process.ended();
    server = await startServer(toolx, settings);
  }
  expect(await server.result("poison")).toMatchObject({
    status: "failed",
    reason: "internal",
    attempt: 1,
    error: { message: "given up after 3 tries: each time the executor that had it died, or it got no sandbox" },
  });
  expect(problemOf(await server.ask("/v1/dead_letters")).dead_letters).toMatchObject([
    { task_id: "poison", reason: "internal", stage: "execute", attempts: 1 },
  ]);
  await server.submit(shellCall("behind", "echo fine"));
  expect(await server.result("behind")).toMatchObject({ reason: "ok", attempt: 1 });
  await stopServer(server);
});
