/** Lets so many in at once; everybody else waits, in order of arrival. */
export interface Turnstile {
  /** Does `work` when there is room. @throws the signal's reason, when it aborts before; whatever `work` throws. */
  pass<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

export function turnstile(atOnce: number): Turnstile {
  const waiting = new Set<() => void>();
  let inside = 0;

  const turn = async (signal: AbortSignal): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => {
      // One that was let in a moment ago is in, and finds out when it goes on.
      if (waiting.delete(resolve)) reject(signal.reason);
    };
    waiting.add(resolve);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };

  const left = (): void => {
    const [next] = waiting;
    if (next === undefined) {
      inside -= 1;
      return;
    }
    waiting.delete(next);
    next();
  };

  return {
    async pass(work, signal) {
      signal.throwIfAborted();
      if (inside < atOnce) inside += 1;
      else await turn(signal);
      try {
        return await work();
      } finally {
        left();
      }
    },
  };
}
