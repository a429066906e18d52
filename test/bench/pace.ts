import type { Contestant } from "./contestants.ts";
import { type Figures, figures } from "./figures.ts";
import type { Samples } from "./interleaved.ts";

const words = new Int32Array(2048);
const stepCount = 60_000;

/** Milliseconds for a fixed computation that needs nothing but a processor and its first cache: 0.1 on one of today's. */
function paceMs(): number {
  const startedAt = performance.now();
  let [random, sum] = [1, 0];
  for (let step = 0; step < stepCount; step += 1) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) | 0;
    sum = (sum + (words[(random >>> 8) & 2047] ?? 0)) | 0;
  }
  words[0] = sum;
  return performance.now() - startedAt;
}

// Until it is compiled it says more of the compiler than of the processor.
for (let count = 0; count < 1000; count += 1) paceMs();

/**
 * That computation again and again, for as long as `ms` take by its median: no disk, no other process, nothing to wait for. What its p99 is more
 * than its median, the machine adds to whatever takes as long.
 */
export function computingContestant(name: string, ms: number, settled: () => Promise<void>): Contestant {
  const once = figures(Array.from({ length: 500 }, paceMs)).median;
  const times = Math.round(ms / once);
  return {
    name,
    settled,
    async round() {
      const startedAt = performance.now();
      for (let count = 0; count < times; count += 1) paceMs();
      return { computing: performance.now() - startedAt };
    },
  };
}

const paceName = "pace of the processor beside it";

/** The same, with how long the fixed computation took before or after each round, whichever was slower. */
export const paced = (contestant: Contestant): Contestant => ({
  ...contestant,
  async round(number) {
    const before = paceMs();
    const round = await contestant.round(number);
    return { ...round, [paceName]: Math.max(before, paceMs()) };
  },
});

/** A virtual machine whose processor is another's for a while computes several times slower, and is told nothing of it. */
const slowFactor = 1.6;

export interface SteadyFigures {
  /** Of those rounds beside which the processor kept its pace; null where it never did. */
  readonly steady: Figures | null;
  readonly pace: Figures;
  readonly slowShare: number;
}

/** @param what a name of `samples` that a {@link paced} contestant made. */
export function steadyFigures(samples: Samples, contestant: string, what: string): SteadyFigures {
  const [values = [], paces = []] = [what, paceName].map((each) => samples.get(`${contestant}, ${each}`));
  const pace = figures(paces);
  const steady = values.filter((_, at) => (paces[at] ?? 0) <= slowFactor * pace.median);
  return {
    steady: steady.length === 0 ? null : figures(steady),
    ...{ pace, slowShare: 1 - steady.length / values.length },
  };
}

/** Without what {@link paced} added. */
export const withoutPace = (samples: Samples): Samples =>
  new Map([...samples].filter(([name]) => !name.endsWith(`, ${paceName}`)));
