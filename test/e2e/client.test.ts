import { expect, test } from "vitest";
import { toolExecutorClient } from "../../src/client/client.ts";
import type { Cli } from "../support/cli.ts";
import { cliForEachTest } from "../support/cli-for-each-test.ts";
import { startServer } from "../support/server.ts";

let toolx: Cli;
cliForEachTest((cli) => {
  toolx = cli;
});

test("the typed client takes a task to its result, lists it, replays it, and hears of a refusal", async () => {
  const server = await startServer(toolx);
  const { key } = JSON.parse((await toolx.run(["keys", "create", "--tenant", "acme", "-o", "json"])).stdout);
  const client = toolExecutorClient({ url: server.url, apiKey: key });
  const body = { task_id: "t-1", tool_name: "shell", payload: { command: "echo hi" } };
  const ran = await client.POST("/v1/tasks", { params: { query: { wait: "30s" } }, body });
  expect(ran.response.status).toBe(200);
  expect(ran.data).toMatchObject({ tenant_id: "acme", reason: "ok", output: { stdout: "hi\n" } });

  const listed = await client.GET("/v1/tasks", { params: { query: { limit: 10 } } });
  expect(listed.data?.tasks.map(({ task_id, state }) => `${task_id} ${state}`)).toEqual(["t-1 FINISHED"]);
  const params = { path: { id: "t-1" }, header: { "idempotency-key": "t-2" } };
  const replayed = await client.POST("/v1/tasks/{id}/replay", { params });
  expect(replayed.data).toEqual({ tenant_id: "acme", task_id: "t-2" });
  const told = await client.GET("/v1/tasks/{id}", { params: { path: { id: "t-2" }, query: { wait: "30s" } } });
  expect(told.data).toMatchObject({ reason: "ok", metadata: { replay_of: "t-1" } });
  const letters = await client.GET("/v1/dead_letters");
  expect(letters.data?.dead_letters).toEqual([]);

  const refused = await client.POST("/v1/tasks", { body: { ...body, task_id: "t-3", tool_name: "nothing" } });
  expect([refused.response.status, refused.error?.code]).toEqual([422, "unknown_tool"]);
  const stranger = await toolExecutorClient({ url: server.url }).GET("/v1/tasks");
  expect(stranger.response.status).toBe(401);
  server.process.child.kill("SIGTERM");
  expect((await server.process.ended()).code).toBe(0);
});
