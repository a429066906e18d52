/** A signal with an end of its own. Held by `using`, so that the timer and the listener are let go of on every path. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * A signal that aborts with `reason` after `ms`, or with the parent's reason when `parent` does, whichever is first.
 * A reason that is only made when it is needed costs nothing where it mostly is not: an error writes down its stack.
 * After dispose it never aborts, and neither the timer nor the parent holds it. The timer keeps the process alive.
 *
 * `AbortSignal.any` would do the same but leaves every child behind at a long-lived parent (nodejs/node#55351).
 */
export function deadline(parent: AbortSignal, ms: number, reason: Error | (() => Error)): Deadline {
  const controller = new AbortController();
  if (parent.aborted) controller.abort(parent.reason);
  const timer = parent.aborted
    ? undefined
    : setTimeout(() => controller.abort(typeof reason === "function" ? reason() : reason), ms);
  const follow = (): void => {
    clearTimeout(timer);
    controller.abort(parent.reason);
  };
  parent.addEventListener("abort", follow, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      parent.removeEventListener("abort", follow);
    },
  };
}
