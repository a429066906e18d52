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

test("G25 a flood of a thousand from one tenant is bounded, and another tenant's task ends among the first", async () => {
  const settings = { TOOL_EXECUTOR_MAX_WORKERS: "2", TOOL_EXECUTOR_MAX_QUEUED_PER_TENANT: "50" };
  const server = await startServer(toolx, { ...settings, TOOL_EXECUTOR_DRAIN_SECONDS: "0" });
  const flood = await Promise.all(
    Array.from({ length: 1000 }, (_, index) => server.submit(shellCall(`f-${index}`, "sleep 5"))),
  );
  const count = (status: number): number => flood.filter((answer) => answer.status === status).length;
  expect(count(202) + count(429)).toBe(1000);
  // Those that began meanwhile made room.
  expect(count(202)).toBeGreaterThanOrEqual(50);
  expect(count(202)).toBeLessThan(100);
  const call = JSON.stringify(shellCall("s-1", "echo mine", { tenant_id: "small" }));
  const headers = { "content-type": "application/json" };
  const small = await server.ask("/v1/tasks?wait=60s", { method: "POST", headers, body: call, local: true });
  expect(problemOf(small)).toMatchObject({ reason: "ok", tenant_id: "small" });
  const list = await server.ask("/v1/tasks?state=QUEUED&limit=1000");
  expect(problemOf(list).tasks.length).toBeGreaterThan(20);
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
