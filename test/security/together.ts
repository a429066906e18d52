import type { Ground } from "./ground.ts";
import type { HostileCase } from "./hostile-case.ts";
import { type IdleTimes, withAllButNeighbours, withInvariants } from "./invariants.ts";

/** How a case went: the neighbour's time over its idle time, or why it failed. */
export type Outcome = PromiseSettledResult<number>;
export type Outcomes = ReadonlyMap<HostileCase, Outcome>;

/** First each case that is run alone, then the calm ones, some at once; each in the order given. */
export function groupsOf(cases: readonly HostileCase[], atOnce: number): readonly (readonly HostileCase[])[] {
  const alone = cases.filter(({ isCalm }) => !isCalm).map((one) => [one]);
  const calm = cases.filter(({ isCalm }) => isCalm);
  const groups = Array.from({ length: Math.ceil(calm.length / atOnce) }, (_, at) =>
    calm.slice(at * atOnce, (at + 1) * atOnce),
  );
  return [...alone, ...groups];
}

/**
 * Runs calm cases at once, and looks at what must hold around a case once around them all. Where that does not hold, each is run by
 * itself, so that the failure is told of the case it belongs to; of all, when none of them fails by itself. Only a neighbour that is
 * slow beside all of them is nobody's failure: what it may take is promised beside one, and that each then shows by itself.
 */
export async function together(ground: Ground, cases: readonly HostileCase[], idleTimes: IdleTimes): Promise<Outcomes> {
  const outcomes = new Map<HostileCase, Outcome>();
  const group: HostileCase = {
    ...(cases[0] as HostileCase),
    name: cases.map(({ id, name }) => `${id} ${name}`).join(", "),
    async act() {
      const acts = await Promise.allSettled(cases.map(async (one) => one.act(ground)));
      for (const [at, act] of acts.entries())
        if (act.status === "rejected") outcomes.set(cases[at] as HostileCase, act);
    },
  };
  const [around] = await Promise.allSettled([withAllButNeighbours(ground, group, idleTimes)]);
  const doesHold = around.status === "fulfilled" && around.value <= group.neighbourFactor;
  const unhurt: HostileCase[] = [];
  for (const one of cases.filter((each) => !outcomes.has(each))) {
    const [alone] = doesHold ? [around] : await Promise.allSettled([withInvariants(ground, one, idleTimes)]);
    outcomes.set(one, alone);
    if (alone.status === "fulfilled") unhurt.push(one);
  }
  if (around.status === "rejected" && unhurt.length === cases.length) {
    const reason = new Error(`only at once: ${group.name}`, { cause: around.reason });
    for (const one of cases) outcomes.set(one, { status: "rejected", reason });
  }
  return outcomes;
}
