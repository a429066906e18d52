import { ExecutorError } from "../model/failure.ts";
import type { TaskKey } from "../model/task.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { concludeFailure } from "./conclude.ts";
import type { Parts } from "./parts.ts";

/** How long a cancel waits for its task, should it come later. */
export const cancelStubTtlMs = 15 * 60 * 1000;

export type Cancelled =
  /** Remembered for {@link cancelStubTtlMs}. */
  | "not known yet"
  | "had ended"
  /** It had not begun, and has its result. */
  | "ended"
  /** Whoever runs it knows. */
  | "asked for";

/** Idempotent, in every state, and before the task has come. @throws ExecutorError internal when the store fails. */
export async function cancelTask(
  { store, liveness, clock }: Pick<Parts, "store" | "liveness" | "clock">,
  key: TaskKey,
  signal: AbortSignal,
): Promise<Cancelled> {
  const record = await store.requestCancel(key, cancelStubTtlMs, signal);
  if (record === null) return "not known yet";
  if (record.state === "FINISHED") return "had ended";
  if (record.owner !== null) {
    await liveness.poke(record.owner, signal);
    return "asked for";
  }
  const waitedMs = clock.now() - record.receivedAt;
  const result = concludeFailure(record.task, new ExecutorError("cancelled", "cancelled before it started"), {
    attempt: record.attempt,
    timings: { queueMs: waitedMs, startMs: null, durationMs: waitedMs },
  });
  const expected = { attempt: record.attempt, owner: null };
  return (await store.finishUnleased(key, expected, result, encodeResult(result), signal)) ? "ended" : "asked for";
}
