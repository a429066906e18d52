import type { Chart } from "./chart.ts";
import type { Figures } from "./figures.ts";

/** Some promises that are measured together, under one set of conditions. A new one is a file, and a line in `parts.ts`. */
export interface Part {
  /** As it is asked for: `npm run bench -- NAME`. */
  readonly name: string;
  /** @throws when something that is measured does not do what it is measured for: a figure of that would be none. */
  measure(bench: Bench): Promise<Report>;
}

/** What a part may use. */
export interface Bench {
  readonly checkout: string;
  /** The environment, with data, scratch and runtime folders of the part's own. */
  readonly env: NodeJS.ProcessEnv;
  readonly rounds: number;
  /** Where the time goes, beside how much: `--phases`. */
  readonly withPhases: boolean;
  /** A PostgreSQL server that is there, instead of one in a container: `--database`. */
  readonly databaseUrl: string | null;
  /** Other people's sandboxes beside ours; not with `--no-peers`. */
  readonly withPeers: boolean;
  /** Bytes of what is bulk: `--mib`. */
  readonly bulkBytes: number;
  /** One line about what takes long. */
  readonly tell: (line: string) => void;
}

export interface Report {
  /** What was measured on and with, beside the machine. */
  readonly conditions: Readonly<Record<string, string>>;
  readonly tables: readonly Table[];
  readonly grids?: readonly Grid[];
  readonly verdicts: readonly Verdict[];
  readonly chart?: Chart;
}

/** Samples of contestants. */
export interface Table {
  /** With the unit. */
  readonly title: string;
  readonly rows: readonly (readonly [name: string, figures: Figures])[];
}

/** Whatever else has rows and columns. */
export interface Grid {
  readonly title: string;
  /** With their units. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** One figure of the promises. */
export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Null: for information. */
  readonly bar: { readonly atMost: number } | { readonly atLeast: number } | null;
  /** Of a ratio of two figures of one run, which the gate compares with the baseline: which way is better. */
  readonly better?: "less" | "more";
}

/** Whether the bar is held; where there is none it is. */
export function isHeld({ value, bar }: Verdict): boolean {
  if (bar === null) return true;
  return "atMost" in bar ? value <= bar.atMost : value >= bar.atLeast;
}

/** Ours by the other side's, or the other way round: a ratio for the gate. */
export const ratio = (name: string, value: number, better: "less" | "more", bar: Verdict["bar"] = null): Verdict => ({
  ...{ name, value, unit: "×", bar, better },
});
