/** How many sandboxes of one kind are asked for at about the same time. */
export interface Demand {
  ask(nowMs: number): void;
  /** 0 for what was asked for once only: something that nobody may want again is not worth keeping ready. */
  level(nowMs: number): number;
  /** Nothing is remembered any more. */
  isForgotten(nowMs: number): boolean;
}

const bucketMs = 1000;
/** How long the busiest moment is remembered. */
export const rememberedMs = 300_000;

/** The most that were asked for within any two seconds of the last five minutes. `nowMs` is monotonic. */
export function demand(): Demand {
  const counts = new Map<number, number>();

  const forget = (now: number): void => {
    // In the order they were made: the first that is young enough ends it.
    for (const bucket of counts.keys()) {
      if (bucket > now - rememberedMs / bucketMs) return;
      counts.delete(bucket);
    }
  };

  return {
    ask(nowMs) {
      const bucket = Math.floor(nowMs / bucketMs);
      forget(bucket);
      counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    },
    level(nowMs) {
      forget(Math.floor(nowMs / bucketMs));
      let [most, inAll] = [0, 0];
      for (const [bucket, count] of counts) {
        inAll += count;
        most = Math.max(most, count + (counts.get(bucket + 1) ?? 0));
      }
      return inAll < 2 ? 0 : most;
    },
    isForgotten(nowMs) {
      forget(Math.floor(nowMs / bucketMs));
      return counts.size === 0;
    },
  };
}
