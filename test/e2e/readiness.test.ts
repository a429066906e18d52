import { expect, test } from "vitest";
import { openCli } from "../support/cli.ts";
import { shellCall, startServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { weakEngine } from "../support/weak-engine.ts";

const enginePath = "/var/run/docker.sock";

interface Ready {
  readonly status: string;
  readonly missing: readonly { readonly name: string; readonly why?: string }[];
}

test("a server whose sandboxes lack a wall is not ready, and names the probe; what it runs goes on", async () => {
  await using weak = await weakEngine(enginePath, () => ({ NetworkMode: "bridge", ShmSize: 64 * 1024 * 1024 }));
  await using toolx = await openCli();
  const env = {
    DOCKER_HOST: `unix://${weak.socketPath}`,
    TOOL_EXECUTOR_RUNTIMES: "runc",
    TOOL_EXECUTOR_PROBE_MINUTES: "",
  };
  const server = await startServer(toolx, env);
  const asked = async (local: boolean) => {
    const { status, body } = await server.ask("/readyz", { local });
    return { status, ready: JSON.parse(body.toString()) as Ready };
  };
  const { ready } = await until(
    "both walls are named",
    async () => {
      const answer = await asked(false);
      return answer.status === 503 && answer.ready.missing.length > 1 ? answer : null;
    },
    60_000,
  );
  // Why is not for everybody.
  expect(ready).toEqual({
    status: "not ready",
    missing: [{ name: "wall runc: no network" }, { name: "wall runc: ulimits" }],
  });
  const why = (await asked(true)).ready.missing.map((each) => each.why);
  expect(why).toEqual([expect.stringContaining("eth0"), expect.stringContaining("65536 KiB")]);
  const metrics = (await server.ask("/metrics")).body.toString();
  expect(metrics).toContain("tool_executor_ready 0");
  expect(metrics).toContain('tool_executor_missing{name="wall runc: no network"} 1');
  expect(JSON.parse((await server.submit(shellCall("t-1", "true"), "60s")).body.toString())).toMatchObject({
    reason: "ok",
  });
  expect(JSON.parse((await server.ask("/v1/tasks?tenant_id=doctor", { local: true })).body.toString()).tasks).toEqual(
    [],
  );
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});

test("a server whose walls hold is ready from its first moment on, under each runtime", async () => {
  await using toolx = await openCli();
  const server = await startServer(toolx, { TOOL_EXECUTOR_PROBE_MINUTES: "", LOG_LEVEL: "info" });
  expect((await server.ask("/readyz")).status).toBe(200);
  await until("they were tried", () => server.process.stderr().includes("walls.held"), 60_000);
  expect(server.process.stderr()).toContain('"probes":4');
  expect((await server.ask("/readyz")).status).toBe(200);
  expect((await server.ask("/metrics")).body.toString()).toMatch(/tool_executor_disk_free_ratio\{place="data"\} 0\.\d/);
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});

test("a server that is told to end while it tries its walls ends at once and leaves nothing", async () => {
  await using toolx = await openCli();
  const server = await startServer(toolx, { TOOL_EXECUTOR_PROBE_MINUTES: "" });
  const startedAt = performance.now();
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect(await toolx.leftovers()).toEqual([]);
});
