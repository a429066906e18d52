import { figuresTable } from "./figures.ts";
import { type Grid, isHeld, type Report, type Verdict } from "./part.ts";

/** One part's report with the load before and after it, as it stands in the file of `--json`. */
export interface Measured extends Report {
  readonly name: string;
  readonly load: { readonly before: string; readonly after: string };
}

/** For people: conditions, tables, and each figure of the promises with its bar. */
export function reportText({ name, conditions, load, tables, grids = [], verdicts }: Measured): string {
  return [
    `== ${name}\n`,
    factsText({ ...conditions, load: loadText(load) }),
    ...tables.map(({ title, rows }) => `\n${title}\n${figuresTable(rows)}`),
    ...grids.map((grid) => `\n${grid.title}\n${gridText(grid)}`),
    "\n",
    ...verdicts.map((verdict) => `${verdictText(verdict)}\n`),
  ].join("");
}

export const loadText = ({ before, after }: Measured["load"]): string => `${before} before, ${after} after`;

export function factsText(facts: Readonly<Record<string, string>>): string {
  const width = Math.max(9, ...Object.keys(facts).map((name) => name.length + 1));
  return Object.entries(facts)
    .map(([name, words]) => `${name.padEnd(width)}${words}\n`)
    .join("");
}

function gridText({ columns, rows }: Grid): string {
  const cells = [columns, ...rows.map((row) => row.map(cellText))];
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells.map((row) => `${row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  ")}\n`).join("");
}

export const cellText = (value: string | number): string =>
  typeof value === "string" ? value : Number.isInteger(value) || value >= 100 ? value.toFixed(0) : value.toFixed(1);

function verdictText(verdict: Verdict): string {
  const { name, unit, bar } = verdict;
  const words = bar === null ? "for information" : `${barText(bar)}: ${isHeld(verdict) ? "held" : "MISSED"}`;
  return `${name.padEnd(60)}${valueText(verdict).padStart(7)} ${unit}  (${words})`;
}

/** Three digits: whether a bar is held must be seen. */
export const valueText = ({ value }: Verdict): string => {
  const size = Math.abs(value);
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
};

export const barText = (bar: NonNullable<Verdict["bar"]>): string =>
  "atMost" in bar ? `at most ${bar.atMost}` : `at least ${Number(bar.atLeast.toPrecision(3))}`;
