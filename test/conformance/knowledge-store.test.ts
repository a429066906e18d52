import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sqliteKnowledgeStore } from "../../src/adapters/sqlite/sqlite-knowledge-store.ts";
import { handClock } from "../support/samples.ts";
import { knowledgeStoreConformance } from "./knowledge-store.ts";

knowledgeStoreConformance("sqlite, two stores on one file", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "knowledge-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const path = join(folder, "tasks.db");
  const one = stack.use(sqliteKnowledgeStore(path, handClock()));
  const other = stack.use(sqliteKnowledgeStore(path, handClock()));
  const held = stack.move();
  return Object.assign([one, other] as const, { [Symbol.asyncDispose]: () => held.disposeAsync() });
});
