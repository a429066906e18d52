import type { Reason } from "../model/failure.ts";
import type { TaskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { Liveness } from "../ports/liveness.ts";
import type { TaskRecord, TaskStore } from "../ports/task-store.ts";
import { endQueued } from "./end-queued.ts";

/** How long a cancel waits for its task, should it come later. */
const stubTtlMs = 15 * 60 * 1000;

/** What became of a cancel. `unknown`: no such task yet; should it come within a quarter of an hour, it is cancelled then. */
export type Cancelled =
  | { readonly kind: "unknown" }
  | { readonly kind: "over"; readonly reason: Reason | null }
  | { readonly kind: "ended" }
  | { readonly kind: "asked" };

/**
 * Asks that a task end; idempotent. A queued one ends here; for a running one its executor is woken where it is on this host, and
 * hears of it within two seconds otherwise.
 * @param liveness opened only where there is somebody to wake.
 */
export async function cancelTask(
  store: TaskStore,
  clock: Clock,
  liveness: () => Promise<Liveness & AsyncDisposable>,
  key: TaskKey,
  signal: AbortSignal,
): Promise<Cancelled> {
  const asked = await store.requestCancel(key, stubTtlMs, signal);
  // Whoever brings it to the store ends the task.
  if (asked === "kept") return { kind: "asked" };
  const cancelled = await endedIfQueued(store, clock, asked, signal);
  if (cancelled.kind !== "asked" || asked?.owner == null) return cancelled;
  await using living = await liveness();
  await living.poke(asked.owner, signal);
  return cancelled;
}

/** What becomes of a cancel that the store has marked; nobody is woken. */
export async function endedIfQueued(
  store: TaskStore,
  clock: Clock,
  record: TaskRecord | null,
  signal: AbortSignal,
): Promise<Cancelled> {
  if (record === null) return { kind: "unknown" };
  if (record.state === "FINISHED") return { kind: "over", reason: record.reason };
  if (record.owner === null && (await endQueued(store, clock, record, signal))) return { kind: "ended" };
  // Also one that was leased between the two writes: the lease saw the wish.
  return { kind: "asked" };
}
