import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryTaskStore } from "../../src/adapters/memory/memory-task-store.ts";
import { sqliteTaskStore } from "../../src/adapters/sqlite/sqlite-task-store.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { taskStoreConformance } from "./task-store.ts";

taskStoreConformance("memory", async (clock, queue) => {
  const store = memoryTaskStore(clock, queue);
  return pair(store, store, async () => {});
});

taskStoreConformance("sqlite, two stores on one file", async (clock, queue) => {
  const folder = await mkdtemp(join(tmpdir(), "task-store-"));
  const path = join(folder, "tasks.db");
  return pair(sqliteTaskStore(path, clock, queue), sqliteTaskStore(path, clock, queue), () =>
    rm(folder, { recursive: true }),
  );
});

function pair(one: TaskStore, other: TaskStore, cleanUp: () => Promise<void>) {
  const stores: readonly [TaskStore, TaskStore] = [one, other];
  return Object.assign(stores, {
    async [Symbol.asyncDispose]() {
      await one[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      await cleanUp();
    },
  });
}
