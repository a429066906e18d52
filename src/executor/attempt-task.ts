import type { Attempt } from "../model/attempt.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { executeTask } from "./execute-task.ts";
import type { Standing } from "./ground.ts";
import type { Parts, Watcher } from "./parts.ts";
import type { TakenOver } from "./take-over.ts";

/** How a caller follows a task. */
export interface Following {
  readonly watcher: Watcher;
  readonly stdin: AsyncIterable<Uint8Array> | null;
  /** What a dead executor began; absent: nothing. */
  readonly taken?: TakenOver;
  /** What the attempt began with, where it began with its task. */
  readonly standing?: Standing;
}

/**
 * One leased attempt through the line, whoever leased it. `record` is the task as it stood at the lease or just before.
 * @returns as `executeTask`: null when the attempt was given back, or is no longer ours.
 */
export async function attemptTask(
  parts: Parts,
  attempt: Attempt,
  record: TaskRecord,
  following: Following,
  cancel: AbortSignal,
): Promise<Result | null> {
  using cancelled = cancelledEarly(record, cancel);
  const { task, receivedAt, strikes } = record;
  return await executeTask(
    parts,
    { taken: null, standing: null, ...following, attempt, task, receivedAt, strikes },
    cancelled.signal,
  );
}

/** A cancel that came before the task could be leased. */
function cancelledEarly(record: TaskRecord, cancel: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  if (record.cancelRequested) controller.abort(new ExecutorError("cancelled", "cancelled before it started"));
  const follow = (): void => controller.abort(cancel.reason);
  if (cancel.aborted) follow();
  else cancel.addEventListener("abort", follow, { once: true });
  return { signal: controller.signal, [Symbol.dispose]: () => cancel.removeEventListener("abort", follow) };
}
