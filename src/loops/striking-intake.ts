import type { Task } from "../model/task.ts";
import type { Intake, TaskStore } from "../ports/task-store.ts";
import { requestSha256 } from "../schema/canonical.ts";

/** How often one request may fail while the store answers, before it is taken for one that never succeeds. */
const maxTries = 3;

/**
 * The store's intake, with an end for a request that it refuses each time. A store that answers nobody is waited for: the failure is
 * thrown. `place` is where the request stood.
 */
export function strikingIntake(
  store: TaskStore,
): (
  task: Task,
  place: string,
  signal: AbortSignal,
) => Promise<Intake | { readonly kind: "given up"; readonly tries: number }> {
  const tries = new Map<string, number>();
  return async (task, place, signal) => {
    try {
      const intake = await store.intake(task, requestSha256(task), signal);
      tries.delete(place);
      return intake;
    } catch (error) {
      signal.throwIfAborted();
      // Throws, too, while the store is away, and then it is not this request.
      await store.list({ limit: 1 }, signal);
      const count = (tries.get(place) ?? 0) + 1;
      tries.set(place, count);
      if (count < maxTries) throw error;
      tries.delete(place);
      return { kind: "given up", tries: count };
    }
  };
}
