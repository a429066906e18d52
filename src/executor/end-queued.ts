import { ExecutorError } from "../model/failure.ts";
import { taskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { TaskRecord, TaskStore } from "../ports/task-store.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { concludeFailure } from "./conclude.ts";

/** Ends a task as `cancelled` that waits in the queue. False: it waits no longer. */
export async function endQueued(
  store: TaskStore,
  clock: Clock,
  record: TaskRecord,
  signal: AbortSignal,
): Promise<boolean> {
  const { task, attempt, receivedAt } = record;
  const waitedMs = clock.now() - receivedAt;
  const timings = { queueMs: waitedMs, startMs: null, durationMs: waitedMs };
  const error = new ExecutorError("cancelled", "cancelled before it started");
  const result = concludeFailure(task, error, { attempt, timings });
  return store.finishUnleased(taskKey(task), { attempt, owner: null }, result, encodeResult(result), signal);
}
