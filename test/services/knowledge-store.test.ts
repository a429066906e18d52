import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as statements from "../../src/adapters/postgres/knowledge-statements.ts";
import { positionalQueries } from "../../src/adapters/postgres/positional.ts";
import { postgresKnowledgeStore } from "../../src/adapters/postgres/postgres-knowledge-store.ts";
import { sqliteKnowledgeStore } from "../../src/adapters/sqlite/sqlite-knowledge-store.ts";
import { searchKnowledge } from "../../src/knowledge/search.ts";
import { tenantMark } from "../../src/model/tenant-mark.ts";
import { knowledgeStoreConformance } from "../conformance/knowledge-store.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { realDocuments, realQueries } from "../support/knowledge-ground.ts";
import { handClock, never } from "../support/samples.ts";
import { startPostgres } from "../support/services.ts";

const postgres = forThisFile(startPostgres);

knowledgeStoreConformance("postgres, two stores on one database", async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const one = stack.use(await postgresKnowledgeStore(database.address, never()));
  const other = stack.use(await postgresKnowledgeStore(database.address, never()));
  const held = stack.move();
  return Object.assign([one, other] as const, { [Symbol.asyncDispose]: () => held.disposeAsync() });
});

test("PostgreSQL and SQLite give the same answers to the same questions about real documentation, and to no other tenant", async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const folder = await mkdtemp(join(tmpdir(), "knowledge-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const onServer = stack.use(await postgresKnowledgeStore(database.address, never()));
  const inFile = stack.use(sqliteKnowledgeStore(join(folder, "tasks.db"), handClock()));
  const documents = realDocuments("acme");
  expect(documents.length).toBeGreaterThan(30);
  expect(realQueries).toHaveLength(20);
  for (const document of documents) {
    await onServer.put(document, never());
    await inFile.put(document, never());
  }
  for (const [query] of realQueries) {
    const asked = { query, limit: 50 };
    const answer = await searchKnowledge(onServer, "acme", asked, never());
    expect(answer.answers.length, query).toBeGreaterThan(0);
    expect(answer, query).toEqual(await searchKnowledge(inFile, "acme", asked, never()));
    for (const store of [onServer, inFile])
      expect(await searchKnowledge(store, "other", asked, never())).toMatchObject({ matched: "none", answers: [] });
  }
});

test("among many passages words are looked for in their index, whatever the session is set to", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, address } = stack.use(await freshDatabase(postgres()));
  const store = stack.use(await postgresKnowledgeStore(address, never()));
  for (const document of realDocuments("acme")) await store.put(document, never());
  await client.query(`
    insert into knowledge_passages (document_id, tenant_id, ordinal, heading, line, text, word_count, words)
    select document_id, tenant_id, ordinal + 1000 * copy, heading, line, text, word_count, words
    from knowledge_passages, generate_series(1, 20) as copy`);
  // As our connections are, and then as a search sets them.
  await client.query("analyze; set enable_seqscan = off; set enable_bitmapscan = off; begin");
  await client.query(statements.byWords);
  const mark = tenantMark("acme");
  const match = `'${mark}prototype' & '${mark}poisoning'`;
  const asked = { tenantId: "acme", match, inHeadings: match, collection: null, tags: [], limit: 400 };
  const { text, values } = positionalQueries()(statements.find, asked);
  const plan = await client.query(`explain ${text}`, values);
  expect(JSON.stringify(plan.rows)).toContain("Bitmap Index Scan on knowledge_words");
  await client.query("rollback");
});
