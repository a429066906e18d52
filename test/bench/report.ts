import { figuresTable } from "./figures.ts";
import { isHeld, type Report, type Verdict } from "./part.ts";

/** One part's report with the load before and after it, as it stands in the file of `--json`. */
export interface Measured extends Report {
  readonly name: string;
  readonly load: { readonly before: string; readonly after: string };
}

/** For people: conditions, tables, and each figure of the promises with its bar. */
export function reportText({ name, conditions, load, tables, verdicts }: Measured): string {
  const facts = { ...conditions, load: `${load.before} before, ${load.after} after` };
  return [
    `== ${name}\n`,
    factsText(facts),
    ...tables.map(({ title, rows }) => `\n${title}\n${figuresTable(rows)}`),
    "\n",
    ...verdicts.map((verdict) => `${verdictText(verdict)}\n`),
  ].join("");
}

export const factsText = (facts: Readonly<Record<string, string>>): string =>
  Object.entries(facts)
    .map(([name, words]) => `${name.padEnd(9)}${words}\n`)
    .join("");

function verdictText(verdict: Verdict): string {
  const { name, value, unit, bar } = verdict;
  const words = bar === null ? "for information" : `${barText(bar)}: ${isHeld(verdict) ? "held" : "MISSED"}`;
  return `${name.padEnd(44)}${value.toFixed(value < 10 ? 2 : 0).padStart(7)} ${unit}  (${words})`;
}

const barText = (bar: NonNullable<Verdict["bar"]>): string =>
  "atMost" in bar ? `at most ${bar.atMost}` : `at least ${bar.atLeast}`;
