import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { until } from "../support/until.ts";

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

async function stateOf(server: Server, taskId: string): Promise<string> {
  const { headers } = await server.ask(`/v1/tasks/${taskId}`);
  return String(headers["tool-executor-state"]);
}

/** Ends it as an operator does, and looks at how it ended. */
async function stopped(server: Server): Promise<void> {
  await stopServer(server);
  expect(existsSync(server.socketPath)).toBe(false);
}

const logOf = async (server: Server, taskId: string): Promise<string> =>
  (await server.ask(`/v1/tasks/${taskId}/logs`)).body.toString();

async function running(server: Server, taskId: string): Promise<void> {
  await until(`${taskId} runs`, async () => (await logOf(server, taskId)).includes("ready"), 60_000);
}

describe("toolx serve", () => {
  test("takes a task in over HTTP, runs it and answers with its result; the next time with the same bytes", async () => {
    const server = await startServer(toolx);
    const call = shellCall("t-1", "echo hello; exit 3");
    const first = await server.submit(call, "30s");
    expect(first.status).toBe(200);
    expect(JSON.parse(first.body.toString())).toMatchObject({ reason: "nonzero_exit", exit_code: 3, attempt: 1 });
    expect((await server.submit(call)).body).toEqual(first.body);
    expect((await server.ask("/v1/tasks/t-1")).body).toEqual(first.body);
    expect(statSync(server.socketPath).mode & 0o777).toBe(0o600);
    await stopped(server);
  });

  test("runs no more tasks at once than it has slots, and a small tenant's task before a flood's", async () => {
    const server = await startServer(toolx, { TOOL_EXECUTOR_MAX_WORKERS: "1" });
    const order: string[] = [];
    const submit = async (tenantId: string, taskId: string): Promise<void> => {
      const body = JSON.stringify(shellCall(taskId, "sleep 0.2", { tenant_id: tenantId }));
      const headers = { "content-type": "application/json" };
      await server.ask("/v1/tasks", { method: "POST", headers, body, local: true });
    };
    for (const number of [1, 2, 3, 4]) await submit("flood", `f-${number}`);
    await submit("small", "s-1");
    const ended = async (tenantId: string, taskId: string): Promise<void> => {
      await server.ask(`/v1/tasks/${taskId}?wait=60s&tenant_id=${tenantId}`, { local: true });
      order.push(taskId);
    };
    await Promise.all([ended("small", "s-1"), ...[1, 2, 3, 4].map((number) => ended("flood", `f-${number}`))]);
    expect(order.indexOf("s-1")).toBeLessThan(3);
    expect(order.filter((id) => id !== "s-1")).toEqual(["f-1", "f-2", "f-3", "f-4"]);
    await stopped(server);
  });

  test("G9 the same message a hundred times at once is one execution with byte-identical answers", async () => {
    const server = await startServer(toolx);
    const call = shellCall("t-same", "head -c 8 /dev/urandom | base64");
    const answers = await Promise.all(Array.from({ length: 100 }, () => server.submit(call, "60s")));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.toString())).size).toBe(1);
    expect(JSON.parse(String(answers[0]?.body))).toMatchObject({ reason: "ok", attempt: 1 });
    expect((await server.ask("/metrics")).body.toString()).toContain(
      'tool_executor_tasks_total{tool="shell",status="success",reason="ok"} 1\n',
    );
    await stopped(server);
  });
});

test("a server that has nothing to do is content with 150 MiB", async () => {
  const server = await startServer(toolx);
  await server.submit(shellCall("t-1", "true"), "30s");
  await server.ask("/docs");
  const { pid } = server.process.child;
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]);
  expect(kib).toBeGreaterThan(10 * 1024);
  expect(kib).toBeLessThanOrEqual(150 * 1024);
  await stopped(server);
});

describe("told to end", () => {
  test("SIGTERM with ten running: it takes nothing new, all ten end as they would, and it exits 0", async () => {
    const server = await startServer(toolx, { TOOL_EXECUTOR_MAX_WORKERS: "10", TOOL_EXECUTOR_DRAIN_SECONDS: "60" });
    const ids = Array.from({ length: 10 }, (_, index) => `t-${index}`);
    await Promise.all(ids.map((id) => server.submit(shellCall(id, "echo ready; sleep 3; echo done"))));
    await Promise.all(ids.map((id) => running(server, id)));
    server.process.child.kill("SIGTERM");
    await until("it is not ready", async () => (await server.ask("/readyz")).status === 503, 5000);
    expect((await server.submit(shellCall("t-late", "true"))).status).toBe(503);
    expect((await server.process.ended()).code).toBe(0);
    for (const id of ids)
      expect(await toolx.result(["get", id])).toMatchObject({ reason: "ok", output: { stdout: "ready\ndone\n" } });
  });

  test.each<[string, readonly string[], Record<string, string>]>([
    ["what runs longer than the time to drain", ["SIGTERM"], { TOOL_EXECUTOR_DRAIN_SECONDS: "1" }],
    ["a second SIGTERM", ["SIGTERM", "SIGTERM"], { TOOL_EXECUTOR_DRAIN_SECONDS: "600" }],
  ])("%s: a safe task is queued again, an unsafe one ends as worker_lost", async (_name, signals, settings) => {
    const server = await startServer(toolx, settings);
    const call = "trap '' TERM; echo ready; sleep 60";
    await server.submit(shellCall("t-safe", call, { limits: { timeout_seconds: 90 } }));
    await server.submit(shellCall("t-unsafe", call, { limits: { timeout_seconds: 90 }, retry: "unsafe" }));
    await Promise.all([running(server, "t-safe"), running(server, "t-unsafe")]);
    const startedAt = performance.now();
    for (const [index, signal] of signals.entries()) {
      if (index > 0) await until("it drains", () => server.process.stderr().includes("draining 2 tasks"), 5000);
      server.process.child.kill(signal as NodeJS.Signals);
    }
    expect((await server.process.ended()).code).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect(await toolx.result(["get", "t-unsafe"])).toMatchObject({ reason: "worker_lost", attempt: 1 });
    expect(JSON.parse((await toolx.run(["get", "t-safe", "-o", "json"])).stdout)).toMatchObject({ state: "QUEUED" });
  });
});

describe("after a kill -9", () => {
  test("the next start goes on with what runs: same attempt, no line lost, and input, limits, files and a cancel as before", async () => {
    const killed = await startServer(toolx);
    const lines = "seq 1 2000; echo ready; sleep 8; seq 2001 4000; echo done >&2; echo kept > /output/kept";
    await killed.submit(shellCall("t-unsafe", lines, { retry: "unsafe" }));
    const stdin = "a line of input\n".repeat(20_000);
    await killed.submit(shellCall("t-stdin", "echo ready; sleep 8; sha256sum", { stdin }));
    await killed.submit(shellCall("t-deadline", "echo ready; sleep 60", { limits: { timeout_seconds: 10 } }));
    await killed.submit(shellCall("t-cancelled", "echo ready; sleep 60"));
    const ids = ["t-unsafe", "t-stdin", "t-deadline", "t-cancelled"];
    await Promise.all(ids.map((id) => running(killed, id)));
    killed.process.child.kill("SIGKILL");
    await killed.process.ended();

    const server = await startServer(toolx);
    expect(server.process.stderr()).toContain("4 tasks taken over");
    expect(await Promise.all(ids.map((id) => stateOf(server, id)))).toEqual(ids.map(() => "RUNNING"));
    // A pass of somebody else's reaper, who knows the owner of the containers for dead.
    await toolx.run(["gc"]);
    expect((await server.ask("/v1/tasks/t-cancelled", { method: "DELETE" })).status).toBe(202);
    const expected = [...Array(4000).keys()]
      .map((index) => `${index + 1}\n${index === 1999 ? "ready\n" : ""}`)
      .join("");
    expect(await server.result("t-unsafe")).toMatchObject({
      ...{ reason: "ok", attempt: 1 },
      output: {
        ...{ stdout: expected, stderr: "done\n", truncated: false, stdout_bytes: expected.length },
        artifacts: [{ path: "kept" }],
      },
    });
    const logged = (await logOf(server, "t-unsafe")).trimEnd().split("\n");
    const stored = logged.map((line) => JSON.parse(line) as { stream: string; text: string });
    expect(stored.map(({ stream, text }) => (stream === "stdout" ? text : "")).join("")).toBe(expected);
    const sha256 = createHash("sha256").update(stdin).digest("hex");
    const read = { reason: "ok", attempt: 1, output: { stdout: `ready\n${sha256}  -\n` } };
    expect(await server.result("t-stdin")).toMatchObject(read);
    expect(await server.result("t-deadline")).toMatchObject({ reason: "timeout", attempt: 1 });
    expect(await server.result("t-cancelled")).toMatchObject({ reason: "cancelled", attempt: 1 });
    await stopped(server);
  });

  test("where the sandbox died too, the next start runs a safe task again and ends an unsafe one as worker_lost", async () => {
    const killed = await startServer(toolx);
    // The first attempt would go on for a minute; the second finds the file of the first nowhere, and ends.
    const call = (id: string, rest: object) =>
      shellCall(id, "echo ready; sleep 60", { ...rest, limits: { timeout_seconds: 90 } });
    await killed.submit(call("t-safe", {}));
    await killed.submit(call("t-unsafe", { retry: "unsafe" }));
    await Promise.all([running(killed, "t-safe"), running(killed, "t-unsafe")]);
    killed.process.child.kill("SIGKILL");
    await killed.process.ended();
    const containers = await ownContainers(killed);
    expect(containers).toHaveLength(2);
    await Promise.all(containers.map(({ Id }) => testDocker().getContainer(Id).kill()));

    const diedAt = performance.now();
    const server = await startServer(toolx, { TOOL_EXECUTOR_DRAIN_SECONDS: "0" });
    expect(await server.result("t-unsafe")).toMatchObject({ reason: "worker_lost", attempt: 1 });
    await running(server, "t-safe");
    expect(performance.now() - diedAt).toBeLessThan(15_000);
    expect(JSON.parse((await server.ask("/v1/tasks/t-safe")).body.toString())).toMatchObject({ attempt: 2 });
    expect(await stateOf(server, "t-safe")).toBe("RUNNING");
    expect(await ownContainers(server)).toHaveLength(1);
    expect((await server.ask("/v1/tasks/t-safe", { method: "DELETE" })).status).toBe(202);
    expect(await server.result("t-safe")).toMatchObject({ reason: "cancelled", attempt: 2 });
    await stopped(server);
  });
});

test("--handover: what runs longer than the time to drain goes on, through two successors, as if nothing had been", async () => {
  const settings = { TOOL_EXECUTOR_DRAIN_SECONDS: "0" };
  let server = await startServer(toolx, settings, ["--handover"]);
  const lines = "echo ready; for i in $(seq 1 40); do echo $i; sleep 0.2; done";
  await server.submit(shellCall("t-1", lines, { retry: "unsafe" }));
  await running(server, "t-1");
  for (const _successor of [1, 2]) {
    server.process.child.kill("SIGTERM");
    expect(await server.process.ended()).toMatchObject({ code: 0 });
    expect(JSON.parse((await toolx.run(["get", "t-1", "-o", "json"])).stdout)).toMatchObject({ state: "RUNNING" });
    server = await startServer(toolx, settings, ["--handover"]);
    expect(server.process.stderr()).toContain("1 tasks taken over");
  }
  const expected = `ready\n${Array.from({ length: 40 }, (_, index) => `${index + 1}\n`).join("")}`;
  expect(await server.result("t-1")).toMatchObject({ reason: "ok", attempt: 1, output: { stdout: expected } });
  await stopped(server);
});

async function ownContainers({ process }: Server) {
  const containers = await testDocker().listContainers({ all: true });
  return containers.filter(({ Labels }) => Labels["tool-executor.owner"]?.includes(`:${process.child.pid}:`));
}
