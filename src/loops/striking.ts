import { ExecutorError } from "../model/failure.ts";
import type { TaskStore } from "../ports/task-store.ts";

/** How often one request may fail while the store answers, before it is taken for one that never succeeds. */
const maxTries = 3;

/**
 * Lets each place fail twice for reasons of ours; the third time it is a failure of the request (`internal`) that `isFinal` tells. A
 * store that answers nobody, of tasks or of secrets, is waited for however long it takes.
 */
export function striking(store: TaskStore): {
  tried<T>(place: string, work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  isFinal(error: unknown): boolean;
} {
  const tries = new Map<string, number>();
  const final = new WeakSet<Error>();
  return {
    async tried(place, work, signal) {
      try {
        const answer = await work();
        tries.delete(place);
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ExecutorError) || error.code !== "internal") throw error;
        // Nor is a store of secrets that is away.
        if (error.away === "secrets") throw error;
        // Throws, too, while the store is away, and then it is not this request.
        await store.list({ limit: 1 }, signal);
        const count = (tries.get(place) ?? 0) + 1;
        tries.set(place, count);
        if (count < maxTries) throw error;
        tries.delete(place);
        const last = new ExecutorError("internal", `the request could not be stored, in ${count} tries`, {
          cause: error,
        });
        final.add(last);
        throw last;
      }
    },
    isFinal: (error) => error instanceof Error && final.has(error),
  };
}
