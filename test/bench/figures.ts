/** What is told of one contestant's samples, in their unit. */
export interface Figures {
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
  readonly count: number;
}

/** @throws Error for no samples: a median of nothing is our bug. */
export function figures(samples: readonly number[]): Figures {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    ...{
      min: at(sorted, 0),
      median: at(sorted, 0.5),
      p95: at(sorted, 0.95),
      p99: at(sorted, 0.99),
      max: at(sorted, 1),
    },
    count: sorted.length,
  };
}

/** Nearest rank: always one that was measured. */
function at(sorted: readonly number[], share: number): number {
  const found = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (found === undefined) throw new Error("no samples");
  return found;
}

export const figuresColumns: readonly string[] = ["min", "median", "p95", "p99", "max", "samples"];

/** As they stand under {@link figuresColumns}. */
export const figuresCells = ({ min, median, p95, p99, max, count }: Figures): readonly string[] => [
  ...[min, median, p95, p99, max].map((each) => each.toFixed(1)),
  String(count),
];

/** Rows of figures under a heading, right-aligned. */
export function figuresTable(rows: readonly (readonly [string, Figures])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  const cells = (values: readonly string[]): string => values.map((value) => value.padStart(9)).join("");
  const lines = rows.map(([name, each]) => name.padEnd(width) + cells(figuresCells(each)));
  return `${["".padEnd(width) + cells(figuresColumns), ...lines].join("\n")}\n`;
}
