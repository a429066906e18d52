import { setTimeout as sleep } from "node:timers/promises";

/** How fast a task's connections are looked at. */
export interface Pace {
  /** One of them was refused, or led nowhere. */
  refused(): void;
  /** Resolves when the next may be looked at, in the order of the calls; at once when it is gone already. Never rejects. */
  turn(gone: AbortSignal): Promise<void>;
}

/** So many may be refused before the rest of the task's connections waits for its turn. */
const freeRefusals = 100;
const afterwardsASecond = 200;

/**
 * A task whose connections are refused again and again, thousands a second, would have the processor that all tasks' connections go through.
 * What waits is bounded by what sandbox-init opens at once.
 */
export function refusalPace(nowMs: () => number): Pace {
  let refusals = 0;
  let lastTurnMs = Number.NEGATIVE_INFINITY;
  return {
    refused() {
      refusals += 1;
    },
    async turn(gone) {
      if (refusals <= freeRefusals) return;
      const startMs = nowMs();
      lastTurnMs = Math.max(lastTurnMs + 1000 / afterwardsASecond, startMs);
      if (lastTurnMs > startMs) await sleep(lastTurnMs - startMs, undefined, { signal: gone }).catch(() => undefined);
    },
  };
}
