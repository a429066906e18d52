import { setTimeout as sleep } from "node:timers/promises";

export interface KeepDrainingOptions {
  readonly everyMs: number;
  /** Looks once, and drains what can be drained. */
  readonly pass: (signal: AbortSignal) => Promise<void>;
  /** A pass that failed; the next one comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

/** Pass after pass until `stop` aborts, and one more then. */
export async function keepDraining(
  { everyMs, pass, onFailure }: KeepDrainingOptions,
  stop: AbortSignal,
): Promise<void> {
  const uninterrupted = new AbortController().signal;
  for (let isLast = false; !isLast; ) {
    isLast = stop.aborted;
    try {
      await pass(uninterrupted);
    } catch (error) {
      onFailure(error);
    }
    if (!isLast) await sleep(everyMs, undefined, { signal: stop }).catch(() => undefined);
  }
}
