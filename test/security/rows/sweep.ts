import { expect } from "vitest";
import { differencesFromGolden } from "../golden.ts";
import type { Ground, Hooks } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, python } from "../hostile-case.ts";
import { sweepProgram, sweptNumbers, verdictsFrom } from "../sweep.ts";

/** What the filter answers otherwise than the golden list of the runtime says; each line begins with number and name. */
export async function sweepSurprises(ground: Ground, hooks: Hooks = {}): Promise<readonly string[]> {
  const { result } = await ground.run(python(sweepProgram, { timeout_seconds: 60 }), hooks);
  expectReason(result, "ok");
  return differencesFromGolden(`calls-${result.sandbox?.runtime}`, verdictsFrom(result.output.stdout));
}

export const sweepRows: readonly HostileCase[] = [
  hostile(
    "B32",
    `the filter's word on each call from 0 to ${sweptNumbers - 1}`,
    async (ground) => expect(await sweepSurprises(ground)).toEqual([]),
    brief,
  ),
];
