import { spawnSync } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KnowledgeAnswer } from "../../src/schema/knowledge-schema.ts";
import { type Cli, checkout, openCli } from "../support/cli.ts";
import { documentedCommands } from "../support/documented-commands.ts";
import { realDocs } from "../support/knowledge-ground.ts";
import { startServer, stopServer } from "../support/server.ts";

let toolx: Cli;
beforeEach(async () => {
  toolx = await openCli();
});
afterEach(async () => {
  try {
    expect(await toolx.leftovers()).toEqual([]);
  } finally {
    await toolx[Symbol.asyncDispose]();
  }
});

const importDocs = (tenant = "default") =>
  toolx.run(["knowledge", "import", realDocs, "--collection", "fastify", "--tag", "docs", "--tenant", tenant]);
const ask = (payload: object, tenant = "default") =>
  toolx.result(["run", "knowledge_base", "--payload", JSON.stringify(payload), "--tenant", tenant]);
const query = "prototype poisoning";

describe("toolx run knowledge_base", () => {
  test("answers from what was imported, and another tenant from nothing", async () => {
    expect(await importDocs()).toMatchObject({ code: 0 });
    const result = await ask({ query, collection: "fastify", tags: ["docs"], limit: 2 });
    expect(result).toMatchObject({ status: "success", reason: "ok", egress: [] });
    const value = result.output.value as unknown as KnowledgeAnswer;
    expect(value).toMatchObject({ query, matched: "all", more: true });
    expect(value.answers).toHaveLength(2);
    expect(value.answers[0]).toMatchObject({
      path: "Guides/Prototype-Poisoning.md",
      collection: "fastify",
      tags: ["docs"],
    });
    expect(value.answers[0]?.snippet).toContain("**");
    expect(result.output.stdout).toContain("fastify/Guides/Prototype-Poisoning.md:");

    const elsewhere = await ask({ query }, "other");
    expect(elsewhere.output.value).toEqual({ query, matched: "none", more: false, answers: [] });
    const named = await ask({ query, collection: "fastify" }, "other");
    expect(named).toMatchObject({ reason: "nonzero_exit", exit_code: 1, output: { value: null } });
    expect(named.output.stderr).toContain('no collection is named "fastify"; there is none');
  });

  test("tells on stderr what is wrong with a query", async () => {
    const result = await ask({ query: 'rain "over' });
    expect(result).toMatchObject({ reason: "nonzero_exit", exit_code: 1, output: { value: null } });
    expect(result.output.stderr).toMatch(/^query has a " without its other one\nhint: /);
  });

  test("is the only one that has a way to the host: a shell has none", async () => {
    const probe = await toolx.result(["run", "shell", "--", "printenv TOOL_CALL_URL || echo none"]);
    expect(probe.output.stdout).toBe("none\n");
  });
});

test("a server answers with what was imported beside it while it runs", async () => {
  const server = await startServer(toolx);
  await importDocs("acme");
  const call = (taskId: string, tenant_id: string) => ({
    ...{ task_id: taskId, tenant_id, tool_name: "knowledge_base" },
    payload: { query, limit: 1 },
  });
  const asked = async (taskId: string, tenant: string) => {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify(call(taskId, tenant));
    const answer = await server.ask("/v1/tasks?wait=60s", { method: "POST", headers, body, local: true });
    return JSON.parse(answer.body.toString()).output.value;
  };
  expect(await asked("t-1", "acme")).toMatchObject({ answers: [{ path: "Guides/Prototype-Poisoning.md" }] });
  expect(await asked("t-2", "other")).toMatchObject({ matched: "none", answers: [] });
  await stopServer(server);
});

test("the commands of docs/tools.md for the knowledge base do what is said there", async () => {
  const blocks = await documentedCommands("docs/tools.md", "knowledge_base");
  expect(blocks.length).toBeGreaterThan(0);
  const bin = join(toolx.workDir, "bin");
  await mkdir(bin);
  await symlink(join(checkout, "bin/toolx"), join(bin, "toolx"));
  const env = { ...toolx.env, PATH: `${bin}:${process.env.PATH}` };
  for (const commands of blocks) {
    const { status, stdout, stderr } = spawnSync("sh", ["-ec", commands], { cwd: checkout, env, encoding: "utf8" });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout + stderr).toMatch(/knowledge {2}added \d+|removed/);
  }
});
