import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sqliteKnowledgeStore } from "../../../src/adapters/sqlite/sqlite-knowledge-store.ts";
import { knowledgeSearch } from "../../../src/app/knowledge.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { knowledgeAnswerSchema } from "../../../src/schema/knowledge-schema.ts";
import { validator } from "../../../src/schema/validator.ts";
import { aDocument } from "../../support/knowledge-ground.ts";
import { handClock, never } from "../../support/samples.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "knowledge-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const openStore = async () => sqliteKnowledgeStore(join(folder, "tasks.db"), handClock());
const as = (tenantId: string) => ({ tenantId, signal: never() });

test("a task's question is answered for its tenant, as the tool's answer must be", async () => {
  await using store = await openStore();
  await store.put(aDocument("a.md", "# A\n\n## B\n\nrain", { tags: ["x"] }), never());
  await using knowledge = knowledgeSearch(openStore);
  const answer = await knowledge.search({ query: "rain" }, as("acme"));
  validator(knowledgeAnswerSchema, { subject: "answer", at: "", code: "internal" })(answer);
  expect(answer).toMatchObject({
    matched: "all",
    answers: [{ path: "a.md", title: "A", heading: "B", line: 5, tags: ["x"], snippet: "**rain**" }],
  });
  expect(await knowledge.search({ query: "rain" }, as("other"))).toMatchObject({ answers: [] });
});

test.each([
  ["a tenant", { query: "rain", tenant_id: "acme" }, "tenant_id is no known field"],
  ["no query", {}, "query is missing"],
  ["no object", [1], "request is an array, must be an object"],
  ["a query that is none", { query: '"' }, 'query has a " without its other one'],
])("a question with %s is refused", async (_what, body, message) => {
  await using knowledge = knowledgeSearch(openStore);
  await expect(knowledge.search(body, as("acme"))).rejects.toThrow(
    expect.objectContaining({ code: "validation", message: expect.stringContaining(message) }),
  );
});

test("the store is opened at the first question, once, and again after it could not be", async () => {
  let tries = 0;
  await using knowledge = knowledgeSearch(async () => {
    tries += 1;
    if (tries === 1) throw new ExecutorError("internal", "away", { away: "store" });
    return openStore();
  });
  expect(tries).toBe(0);
  await expect(knowledge.search({ query: "rain" }, as("acme"))).rejects.toThrow("away");
  await Promise.all([knowledge.search({ query: "rain" }, as("acme")), knowledge.search({ query: "snow" }, as("acme"))]);
  await knowledge.search({ query: "rain" }, as("acme"));
  expect(tries).toBe(2);
});
