import type { Attempt } from "../model/attempt.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Liveness } from "../ports/liveness.ts";
import type { TaskStore } from "../ports/task-store.ts";

const renewEveryMs = 2_000;
/** One for all: a reason that nobody gives is made anew each time, with its stack. */
const letGo = new Error("the lease is held no longer");

/** While held, the lease is renewed; `signal` aborts when the task is to be cancelled or the attempt is no longer ours. */
export interface KeptLease extends AsyncDisposable {
  readonly signal: AbortSignal;
  /** Another attempt or owner has the task: whatever we still do must not be stored. */
  lost(): boolean;
}

/**
 * Renews every two seconds, and at once when somebody pokes this process (`toolx cancel`). `caller` aborting cancels the task too.
 * A store that cannot be reached is no reason to stop: the lease runs out by itself, and the fence then refuses the result.
 */
export function keepLease(
  store: TaskStore,
  liveness: Liveness,
  attempt: Attempt,
  leaseMs: number,
  caller: AbortSignal,
): KeptLease {
  const controller = new AbortController();
  const stop = new AbortController();
  let lost = false;
  let under: Promise<void> | null = null;

  const renew = async (): Promise<void> => {
    try {
      const renewed = await store.renew(attempt, leaseMs, stop.signal);
      if (renewed === null) {
        lost = true;
        controller.abort(new ExecutorError("worker_lost", `attempt ${attempt.number} is no longer ours`));
      } else if (renewed.cancelRequested) controller.abort(new ExecutorError("cancelled", "cancelled on request"));
    } catch (error) {
      if (!(error instanceof ExecutorError) && !stop.signal.aborted) throw error;
    }
  };
  const renewOnce = (): void => {
    under ??= renew().finally(() => {
      under = null;
    });
  };
  const timer = setInterval(renewOnce, renewEveryMs);
  const stopListening = liveness.onPoke(renewOnce);
  const onCaller = (): void => controller.abort(caller.reason);
  if (caller.aborted) onCaller();
  else caller.addEventListener("abort", onCaller, { once: true });

  return {
    signal: controller.signal,
    lost: () => lost,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      stopListening();
      caller.removeEventListener("abort", onCaller);
      stop.abort(letGo);
      await under;
    },
  };
}
