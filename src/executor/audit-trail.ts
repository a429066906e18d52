import { setTimeout as sleep } from "node:timers/promises";
import type { AuditRecord } from "../model/audit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { TaskStore } from "../ports/task-store.ts";

/** Brings records to the store soon, several at once. Dispose waits for those that can be brought there, and gives up what cannot. */
export interface AuditTrail extends AsyncDisposable {
  /** @throws ExecutorError internal, when so many wait for a store that is away that no more may. */
  record(one: AuditRecord): void;
}

/** What may wait for a store that is away. */
const maxWaiting = 10_000;
const atOnce = 500;
const againMs = 1_000;

/** @param onLost hears how many were given up. */
export function auditTrail(store: Pick<TaskStore, "audit">, onLost: (count: number) => void): AuditTrail {
  let waiting: AuditRecord[] = [];
  let writing: Promise<void> | null = null;
  const ending = new AbortController();

  const write = async (): Promise<void> => {
    // Those of one moment go together.
    await Promise.resolve();
    while (waiting.length > 0) {
      const batch = waiting.slice(0, atOnce);
      try {
        await store.audit(batch, new AbortController().signal);
        waiting = waiting.slice(batch.length);
      } catch {
        if (ending.signal.aborted) return;
        await sleep(againMs, undefined, { signal: ending.signal }).catch(() => undefined);
      }
    }
  };
  const begin = (): void => {
    writing ??= write().finally(() => {
      writing = null;
      if (waiting.length > 0 && !ending.signal.aborted) begin();
    });
  };

  return {
    record(one) {
      if (waiting.length >= maxWaiting)
        throw new ExecutorError(
          "internal",
          `the audit has ${maxWaiting} records waiting for its store, and takes no more`,
        );
      waiting.push(one);
      begin();
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await writing;
      if (waiting.length > 0) await write();
      if (waiting.length > 0) onLost(waiting.length);
    },
  };
}
