/** Wakes whoever waits for work; a ring that nobody waited for is heard by the next who does. */
export interface Bell {
  ring(): void;
  /** Resolves at the next ring, after `withinMs` at the latest, or when the signal aborts. One waits at a time. */
  heard(withinMs: number, signal: AbortSignal): Promise<void>;
}

export function bell(): Bell {
  let rung = false;
  let wake: (() => void) | null = null;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async heard(withinMs, signal) {
      if (!rung && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const wakeUp = (): void => resolve();
        const timer = setTimeout(wakeUp, withinMs);
        wake = wakeUp;
        signal.addEventListener("abort", wakeUp, { once: true });
        await promise;
        clearTimeout(timer);
        signal.removeEventListener("abort", wakeUp);
        wake = null;
      }
      rung = false;
    },
  };
}
