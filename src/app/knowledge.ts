import { join } from "node:path";
import type { HostService } from "../executor/host-calls.ts";
import type { JsonValue } from "../model/task.ts";
import type { KnowledgeStore } from "../ports/knowledge-store.ts";
import { checkKnowledgeRequest } from "../schema/knowledge-schema.ts";
import type { Config } from "./config.ts";

/**
 * The knowledge base, where the tasks are: in the file of the data folder, or in the database that stands in its place.
 * @throws ExecutorError internal, when that cannot be used.
 */
export async function openKnowledge({ dataDir, database }: Config): Promise<KnowledgeStore> {
  if (database === null) {
    const { sqliteKnowledgeStore } = await import("../adapters/sqlite/sqlite-knowledge-store.ts");
    return sqliteKnowledgeStore(join(dataDir, "tasks.db"), { now: Date.now });
  }
  const { postgresKnowledgeStore } = await import("../adapters/postgres/postgres-knowledge-store.ts");
  return await postgresKnowledgeStore(database, new AbortController().signal);
}

export interface KnowledgeSearch extends AsyncDisposable {
  readonly search: HostService;
}

/** Answers calls of tasks. The store is opened by the first of them: most processes never have one. */
export function knowledgeSearch(open: () => Promise<KnowledgeStore>): KnowledgeSearch {
  let opened: Promise<KnowledgeStore> | null = null;
  const store = async (): Promise<KnowledgeStore> => {
    opened ??= open();
    try {
      return await opened;
    } catch (error) {
      // A database that is away now may be there at the next call.
      opened = null;
      throw error;
    }
  };
  return {
    async search(body, { tenantId, signal }): Promise<JsonValue> {
      const request = checkKnowledgeRequest(body);
      const { searchKnowledge } = await import("../knowledge/search.ts");
      const answer = await searchKnowledge(await store(), tenantId, request, signal);
      return { ...answer, answers: answer.answers.map((each) => ({ ...each })) };
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => null))?.[Symbol.asyncDispose]();
    },
  };
}
