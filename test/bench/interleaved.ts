import type { Contestant, Round } from "./contestants.ts";
import { figures } from "./figures.ts";
import type { Table } from "./part.ts";

/** Samples by `CONTESTANT, WHAT`. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/** Every contestant in each round, so that whatever else the machine does meets them all alike. Rounds to warm up are not kept. */
export async function interleaved(
  contestants: readonly Contestant[],
  rounds: number,
  warmUpRounds: number,
): Promise<Samples> {
  const samples = new Map<string, number[]>();
  for (let number = -warmUpRounds; number < rounds; number += 1) {
    for (const contestant of contestants) {
      const { name, times = 1 } = contestant;
      for (let time = 0; time < times; time += 1) {
        const round = await contestant.round((number + warmUpRounds) * times + time);
        await contestant.settled?.();
        if (number >= 0) keep(samples, name, round);
      }
    }
  }
  return samples;
}

function keep(samples: Map<string, number[]>, contestant: string, round: Round): void {
  for (const [what, value] of Object.entries(round)) {
    const name = `${contestant}, ${what}`;
    const kept = samples.get(name);
    if (kept === undefined) samples.set(name, [value]);
    else kept.push(value);
  }
}

export const rowsOf = (samples: Samples): Table["rows"] => [...samples].map(([name, each]) => [name, figures(each)]);

/** @throws for a name that nothing was measured under. */
export function figuresOf(samples: Samples, name: string): ReturnType<typeof figures> {
  const each = samples.get(name);
  if (each === undefined)
    throw new Error(`nothing was measured as ${name}; there are ${[...samples.keys()].join("; ")}`);
  return figures(each);
}

export const medianOf = (samples: Samples, name: string): number => figuresOf(samples, name).median;
