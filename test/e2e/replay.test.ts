import { describe, expect, test } from "vitest";
import type { Cli } from "../support/cli.ts";
import { cliForEachTest } from "../support/cli-for-each-test.ts";
import { receiver } from "../support/receiver.ts";
import { type Asked, type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { until } from "../support/until.ts";

let toolx: Cli;
cliForEachTest((cli) => {
  toolx = cli;
});

const jsonOf = ({ body }: { readonly body: Buffer }) => JSON.parse(body.toString());
const linesOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/** A task that ends as `sandbox`, and so as a dead letter: its engine is not there. */
async function died(tenant: string, taskId: string): Promise<void> {
  const args = ["run", "shell", "--tenant", tenant, "--task-id", taskId, "--", `echo ${taskId}`];
  const result = await toolx.result(args, { env: { DOCKER_HOST: "unix:///nowhere/docker.sock" } });
  expect(result).toMatchObject({ reason: "sandbox" });
}

/** Takes tasks in for a tenant, over the local socket. */
const submitAs = (server: Server, tenant_id: string, taskId: string, rest: object = {}) =>
  server.ask("/v1/tasks?wait=30s", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(shellCall(taskId, `echo ${taskId}`, { tenant_id, ...rest })),
    local: true,
  });

describe("toolx replay ID", () => {
  test("runs the request of an ended task as a new one that says whose it is, without a server and with one", async () => {
    await toolx.run(["run", "shell", "--task-id", "t-1", "--env", "A=7", "--", "echo a $A; exit 3"]);
    const here = await toolx.run(["replay", "t-1", "--task-id", "t-2"]);
    expect({ code: here.code, stdout: here.stdout }).toEqual({ code: 3, stdout: "a 7\n" });
    expect(here.stderr).toMatch(/^✗ nonzero_exit {2}t-2 · exit 3/);
    expect(await toolx.result(["get", "t-2"])).toMatchObject({ metadata: { replay_of: "t-1" }, exit_code: 3 });

    const server = await startServer(toolx);
    const there = await toolx.run(["replay", "t-1", "--task-id", "t-3"], { env: { TOOL_EXECUTOR_URL: server.url } });
    expect({ code: there.code, stdout: there.stdout }).toEqual({ code: 3, stdout: "a 7\n" });
    const result = await server.result("t-3");
    expect(result).toMatchObject({ task_id: "t-3", metadata: { replay_of: "t-1" }, exit_code: 3 });
    // The first task's answer stands.
    expect(await server.result("t-1")).toMatchObject({ task_id: "t-1", metadata: {} });
    const envelope = await toolx.result(["replay", "t-1"]);
    expect(envelope).toMatchObject({ task_id: expect.stringMatching(/^t-[0-9a-f]{10}$/), exit_code: 3 });
    await stopServer(server);
  });

  test("is refused for what is not there, has not ended, is another tenant's, or is the fourth in a row", async () => {
    const server = await startServer(toolx, { TOOL_EXECUTOR_DRAIN_SECONDS: "0" });
    const env = { TOOL_EXECUTOR_URL: server.url };
    const refused = async (args: readonly string[], why: string): Promise<void> => {
      const { code, stderr } = await toolx.run(["replay", ...args], { env });
      expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
    };
    await submitAs(server, "other", "theirs");
    await refused(["nowhere"], "there is no such task");
    await refused(["theirs"], "there is no such task");
    await server.submit(shellCall("runs", "echo ready; sleep 60", { limits: { timeout_seconds: 90 } }));
    await until("it runs", async () => (await server.ask("/v1/tasks/runs/logs")).body.includes("ready"), 60_000);
    await refused(["runs"], "task default/runs is RUNNING, must be FINISHED to be replayed");
    await server.ask("/v1/tasks/runs", { method: "DELETE" });

    await server.submit(shellCall("r-0", "true"), "30s");
    for (const depth of [1, 2, 3])
      expect((await toolx.run(["replay", `r-${depth - 1}`, "--task-id", `r-${depth}`], { env })).code).toBe(0);
    await refused(["r-3"], "this would be replay number 4 in a row, at most 3");
    await refused(["r-0", "--task-id", "not an id"], "--task-id");
    await stopServer(server);
  });
});

describe("toolx dlq", () => {
  test("lists what came to nothing, shows it, and replays it once, oldest first, within its limits", async () => {
    for (const id of ["d-1", "d-2", "d-3"]) await died("acme", id);
    await died("other", "d-4");

    const server = await startServer(toolx);
    const ls = async (...more: readonly string[]) =>
      linesOf((await toolx.run(["dlq", "ls", "-o", "json", ...more])).stdout);
    const all = await ls();
    expect(all.map(({ tenant_id, task_id }) => `${tenant_id}/${task_id}`)).toEqual([
      "other/d-4",
      "acme/d-3",
      "acme/d-2",
      "acme/d-1",
    ]);
    expect(all[0]).toMatchObject({ reason: "sandbox", stage: "execute", attempts: 3 });
    expect(await ls("--tenant", "acme", "-n", "2")).toHaveLength(2);
    expect(await ls("--reason", "internal")).toEqual([]);
    const ids: Record<string, number> = Object.fromEntries(all.map(({ task_id, id }) => [task_id, id]));
    const shown = await toolx.run(["dlq", "show", String(ids["d-1"])]);
    expect(shown.stdout).toContain('"task_id":"d-1"');
    expect(shown.stdout).toMatch(/^reason {6}sandbox$/m);

    const replay = async (...args: readonly string[]) => {
      const { code, stdout, stderr } = await toolx.run(["dlq", "replay", "-o", "json", ...args]);
      return { code, stderr, done: linesOf(stdout) };
    };
    const dry = await replay("--all", "--tenant", "acme", "--dry-run");
    expect(dry.done.map(({ letter, outcome }) => [letter, outcome])).toEqual(
      ["d-1", "d-2", "d-3"].map((id) => [ids[id], "would be replayed"]),
    );
    expect((await server.ask(`/v1/tasks/dlq-${ids["d-1"]}?tenant_id=acme`, { local: true })).status).toBe(404);

    const startedAt = performance.now();
    const two = await replay("--all", "--tenant", "acme", "--limit", "2", "--rate", "1");
    expect(performance.now() - startedAt).toBeGreaterThan(1900);
    expect(two.done).toEqual(
      ["d-1", "d-2"].map((id) => ({
        letter: ids[id],
        outcome: "replayed",
        task: `acme/dlq-${ids[id]}`,
        said: null,
      })),
    );
    expect(two.stderr).toContain("stopped at 2 (--limit); 1 are left");
    const path = `/v1/tasks/dlq-${ids["d-1"]}?tenant_id=acme&wait=60s`;
    expect(jsonOf(await server.ask(path, { local: true }))).toMatchObject({
      reason: "ok",
      metadata: { replay_of: "d-1" },
      output: { stdout: "d-1\n" },
    });
    // A second time those are known, and what is new is replayed.
    const again = await replay("--all", "--tenant", "acme");
    expect(again.done.map(({ outcome }) => outcome)).toEqual(["known", "known", "replayed"]);
    expect((await replay(String(ids["d-4"]))).done).toMatchObject([{ task: `other/dlq-${ids["d-4"]}` }]);

    for (const args of [["--all", "1"], [], ["x"], ["--all", "--rate", "0"], ["--all", "--reason", "bad"], ["999999"]])
      expect((await replay(...args)).code).toBe(2);
    await stopServer(server);
  });

  test("without a server the letters are replayed here", async () => {
    await died("default", "d-1");
    const [letter] = linesOf((await toolx.run(["dlq", "ls", "-o", "json"])).stdout);
    const { code, stdout } = await toolx.run(["dlq", "replay", "--all"]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${letter.id}  default/d-1  replayed  as default/dlq-${letter.id}  ok\n`,
    });
    expect((await toolx.run(["dlq", "replay", String(letter.id)])).stdout).toContain("known");
    expect(await toolx.result(["get", `dlq-${letter.id}`])).toMatchObject({ output: { stdout: "d-1\n" } });
  });

  test("replaying the letter of a callback calls back, and the letter is gone", async () => {
    let isDown = true;
    await using other = await receiver((response) => void response.writeHead(isDown ? 500 : 204).end());
    const server = await startServer(toolx, {
      TOOL_EXECUTOR_CALLBACK_HOSTS: `${other.url}=127.0.0.0/8`,
      TOOL_EXECUTOR_CALLBACK_SECRET: `whsec_${Buffer.alloc(32, 3).toString("base64")}`,
      TOOL_EXECUTOR_CALLBACK_TRIES: "1",
    });
    const result = await server.submit(shellCall("t-1", "echo told", { callback_url: other.url }), "30s");
    const letters = async () => linesOf((await toolx.run(["dlq", "ls", "-o", "json"])).stdout);
    await until("it is given up", async () => (await letters()).length === 1, 15_000);
    const [letter] = await letters();
    expect(letter).toMatchObject({
      task_id: "t-1",
      stage: "callback",
      error: `${other.url} answered with status 500, not 2xx`,
    });
    isDown = false;
    const { stdout } = await toolx.run(["dlq", "replay", String(letter.id)]);
    expect(stdout).toBe(`${letter.id}  default/t-1  callback  as default/t-1\n`);
    await until("it is called", () => other.received.length === 2, 15_000);
    expect(other.received[1]?.body).toEqual(result.body);
    expect(await letters()).toEqual([]);
    await stopServer(server);
  });

  test("a tenant sees, shows and replays its own letters only, and learns of no other", async () => {
    await died("acme", "d-1");
    await died("other", "d-2");
    const server = await startServer(toolx);
    const key = JSON.parse((await toolx.run(["keys", "create", "--tenant", "acme", "-o", "json"])).stdout).key;
    const as = (asked: Asked = {}): Asked => ({ ...asked, headers: { authorization: `Bearer ${key}` } });
    const own = jsonOf(await server.ask("/v1/dead_letters", as()));
    expect(own.dead_letters.map(({ task_id }: { readonly task_id: string }) => task_id)).toEqual(["d-1"]);
    const all = jsonOf(await server.ask("/v1/dead_letters", { local: true }));
    const idOf = (taskId: string): number =>
      all.dead_letters.find(({ task_id }: { readonly task_id: string }) => task_id === taskId).id;
    const theirs = idOf("d-2");
    for (const id of [theirs, 999_999]) {
      const shown = await server.ask(`/v1/dead_letters/${id}`, as());
      const replayed = await server.ask(`/v1/dead_letters/${id}/replay`, as({ method: "POST" }));
      for (const answer of [shown, replayed])
        expect([answer.status, jsonOf(answer).detail]).toEqual([404, "there is no such dead letter"]);
    }
    expect((await server.ask("/v1/dead_letters?tenant_id=other", as())).status).toBe(403);
    expect((await server.ask("/v1/dead_letters")).status).toBe(401);
    const mine = await server.ask(`/v1/dead_letters/${idOf("d-1")}/replay`, as({ method: "POST" }));
    expect([mine.status, jsonOf(mine)]).toEqual([
      202,
      { replayed: "task", tenant_id: "acme", task_id: `dlq-${idOf("d-1")}` },
    ]);
    const env = { TOOL_EXECUTOR_URL: server.url, TOOL_EXECUTOR_API_KEY: key };
    expect(linesOf((await toolx.run(["dlq", "ls", "-o", "json"], { env })).stdout)).toHaveLength(1);
    expect((await toolx.run(["dlq", "show", String(theirs)], { env })).code).toBe(2);
    expect((await toolx.run(["replay", "d-2"], { env })).code).toBe(2);
    await stopServer(server);
  });
});
