import type { Verdict } from "./part.ts";

/** Ratios of an earlier run, by part and name: `test/bench/baseline.json`. */
export interface Baseline {
  readonly version: 1;
  /** How many times worse a ratio may be than it was. */
  readonly allowedFactor: number;
  readonly machine: Readonly<Record<string, string>>;
  readonly parts: Readonly<Record<string, Readonly<Record<string, BaselineRatio>>>>;
}

export interface BaselineRatio {
  readonly value: number;
  readonly better: "less" | "more";
}

/** The parts whose verdicts are compared. */
export type MeasuredRatios = readonly { readonly name: string; readonly verdicts: readonly Verdict[] }[];

/** One ratio beside what it was. */
export interface Comparison {
  readonly part: string;
  readonly name: string;
  /** Null: not in the baseline, or no longer measured. */
  readonly was: number | null;
  readonly is: number | null;
  /** How many times worse: below 1, better. Null where one of the two is missing. */
  readonly factor: number | null;
  readonly outcome: "held" | "worse" | "new" | "gone";
}

/**
 * What became of each ratio since the baseline: of times nothing is said, since machines differ. A part that was not measured is left out;
 * a ratio that a measured part no longer has is `gone`.
 */
export function compared(baseline: Baseline, measured: MeasuredRatios): readonly Comparison[] {
  return measured.flatMap(({ name: part, verdicts }) => {
    const before = baseline.parts[part] ?? {};
    const ratios = verdicts.filter(({ better }) => better !== undefined);
    const now = ratios.map((verdict) => judged(part, verdict, before[verdict.name], baseline.allowedFactor));
    const gone = Object.entries(before)
      .filter(([name]) => !ratios.some((each) => each.name === name))
      .map(([name, { value }]): Comparison => ({ part, name, was: value, is: null, factor: null, outcome: "gone" }));
    return [...now, ...gone];
  });
}

/** Whether the change may land as far as speed goes. */
export const passes = (comparisons: readonly Comparison[]): boolean =>
  comparisons.every(({ outcome }) => outcome === "held" || outcome === "new");

/** The same baseline with these parts as they are now. */
export function renewed(
  baseline: Baseline,
  measured: MeasuredRatios,
  machine: Readonly<Record<string, string>>,
): Baseline {
  const now = measured
    .map(({ name, verdicts }) => [name, ratiosOf(verdicts)] as const)
    .filter(([, ratios]) => Object.keys(ratios).length > 0);
  return { ...baseline, machine, parts: { ...baseline.parts, ...Object.fromEntries(now) } };
}

/** For people, one ratio a line. */
export function comparisonsText(comparisons: readonly Comparison[], allowedFactor: number): string {
  const number = (value: number | null): string => (value === null ? "–" : value.toFixed(2)).padStart(8);
  const lines = comparisons.map(({ part, name, was, is, factor, outcome }) => {
    const words = factor === null ? outcome : `${factor.toFixed(2)} times worse: ${outcome}`;
    return `${`${part}: ${name}`.padEnd(72)}${number(was)} →${number(is)}  ${words}\n`;
  });
  return `== against the baseline; at most ${allowedFactor} times worse\n${lines.join("")}`;
}

function judged(
  part: string,
  { name, value, better }: Verdict,
  before: BaselineRatio | undefined,
  allowedFactor: number,
): Comparison {
  if (before === undefined) return { part, name, was: null, is: value, factor: null, outcome: "new" };
  const factor = better === "more" ? before.value / value : value / before.value;
  // A ratio of a side that did nothing at all is none.
  const isHeld = Number.isFinite(factor) && factor <= allowedFactor;
  return { part, name, was: before.value, is: value, factor, outcome: isHeld ? "held" : "worse" };
}

const ratiosOf = (verdicts: readonly Verdict[]): Readonly<Record<string, BaselineRatio>> =>
  Object.fromEntries(
    verdicts.flatMap(({ name, value, better }) =>
      better === undefined ? [] : [[name, { value: Number(value.toPrecision(3)), better }]],
    ),
  );
