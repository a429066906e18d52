import { afterEach, beforeEach, expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const docker = testDocker();
const warm = {
  TOOL_EXECUTOR_WARM_POOL_MAX: "3",
  TOOL_EXECUTOR_WARM_POOL_MIN: "3",
  TOOL_EXECUTOR_WARM_POOL_IMAGES: "shell",
};

let toolx: Cli;
beforeEach(async () => {
  toolx = await openCli({ ownHost: true });
});
afterEach(async () => {
  try {
    expect(await toolx.leftovers()).toEqual([]);
  } finally {
    await toolx[Symbol.asyncDispose]();
  }
});

async function containersOf({ process }: Server) {
  const containers = await docker.listContainers({ all: true });
  return containers.filter(({ Labels }) => Labels["tool-executor.owner"]?.includes(`:${process.child.pid}:`));
}

const metricsOf = async (server: Server): Promise<string> => (await server.ask("/metrics")).body.toString();

async function standReady(server: Server, count: number): Promise<void> {
  const line = `tool_executor_warm_sandboxes{state="ready"} ${count}`;
  await until(`${count} stand ready`, async () => (await metricsOf(server)).includes(line), 60_000);
}

async function stateIs(server: Server, taskId: string, state: string): Promise<void> {
  const now = async (): Promise<unknown> => (await server.ask(`/v1/tasks/${taskId}`)).headers["tool-executor-state"];
  await until(`${taskId} is ${state}`, async () => (await now()) === state, 60_000);
}

test("a server keeps them ready, gives them to tasks, says how it went, and leaves none when it ends", async () => {
  const server = await startServer(toolx, warm);
  await standReady(server, 3);
  const { body } = await server.submit(shellCall("t-1", "echo hi"), "30s");
  expect(JSON.parse(body.toString())).toMatchObject({ reason: "ok", sandbox: { warm: true }, attempt: 1 });
  expect(await metricsOf(server)).toContain('tool_executor_warm_wait_seconds_count{outcome="hit"} 1');
  await standReady(server, 3);
  await stopServer(server);
  expect(await containersOf(server)).toEqual([]);
});

test("told to end, it lets them go at once, and lets a task end that has one", async () => {
  const server = await startServer(toolx, warm);
  await standReady(server, 3);
  await server.submit(shellCall("t-1", "sleep 4; echo done"));
  await stateIs(server, "t-1", "RUNNING");
  await standReady(server, 3);
  server.process.child.kill("SIGTERM");
  await until("only the task's is left", async () => (await containersOf(server)).length === 1, 3500);
  expect((await server.process.ended()).code).toBe(0);
  expect(await toolx.result(["get", "t-1"])).toMatchObject({ reason: "ok", output: { stdout: "done\n" } });
});

test("killed, it leaves what the reaper takes", async () => {
  const server = await startServer(toolx, warm);
  await standReady(server, 3);
  server.process.child.kill("SIGKILL");
  await server.process.ended();
  expect(await containersOf(server)).toHaveLength(3);
  expect((await toolx.run(["gc"])).code).toBe(0);
  expect(await containersOf(server)).toEqual([]);
});

test("killed at a task, the next one goes on with the task, in the sandbox that stood ready, and takes the others away", async () => {
  const killed = await startServer(toolx, warm);
  await standReady(killed, 3);
  await killed.submit(shellCall("t-1", "sleep 6; echo done", { retry: "unsafe" }));
  await stateIs(killed, "t-1", "RUNNING");
  await standReady(killed, 3);
  killed.process.child.kill("SIGKILL");
  await killed.process.ended();
  const server = await startServer(toolx);
  expect(await containersOf(killed)).toHaveLength(1);
  expect(await server.result("t-1")).toMatchObject({ reason: "ok", attempt: 1, sandbox: { warm: true } });
  await stopServer(server);
});

test("killed between a sandbox's being given away and the start of its task, the task begins anew in another", async () => {
  const killed = await startServer(toolx, warm);
  await standReady(killed, 3);
  // They stand still, as it were: what they are given is given, and goes no further.
  const before = await containersOf(killed);
  await Promise.all(before.map(({ Id }) => docker.getContainer(Id).pause()));
  const content = Buffer.alloc(6 * 1024 * 1024, "x")
    .toString("base64")
    .slice(0, 7_000_000);
  const files = [{ path: "large", content_base64: content }];
  const call = shellCall("t-1", "ls -A /workspace /tmp; cat /etc/hostname", { retry: "unsafe", files });
  expect((await killed.submit(call)).status).toBe(202);
  await stateIs(killed, "t-1", "RUNNING");
  killed.process.child.kill("SIGKILL");
  await killed.process.ended();
  await Promise.all(
    before.map(({ Id }) =>
      docker
        .getContainer(Id)
        .unpause()
        .catch(() => undefined),
    ),
  );
  const server = await startServer(toolx);
  expect(await server.result("t-1")).toMatchObject({
    reason: "ok",
    attempt: 2,
    output: { stdout: expect.stringContaining("large") },
  });
  const left = new Set((await docker.listContainers({ all: true })).map(({ Id }) => Id));
  expect(before.filter(({ Id }) => left.has(Id))).toEqual([]);
  await stopServer(server);
});
