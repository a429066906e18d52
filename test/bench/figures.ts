/** What is told of one contestant's times, milliseconds. */
export interface Figures {
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

/** @throws Error for no samples: a median of nothing is our bug. */
export function figures(samplesMs: readonly number[]): Figures {
  const sorted = samplesMs.toSorted((a, b) => a - b);
  return { min: at(sorted, 0), median: at(sorted, 0.5), p95: at(sorted, 0.95), max: at(sorted, 1) };
}

/** Nearest rank: always a time that was measured. */
function at(sorted: readonly number[], share: number): number {
  const found = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (found === undefined) throw new Error("no samples");
  return found;
}

/** Rows of figures under a heading, right-aligned. */
export function figuresTable(rows: readonly (readonly [string, Figures])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  const cells = (values: readonly string[]): string => values.map((value) => value.padStart(9)).join("");
  const heading = "".padEnd(width) + cells(["min", "median", "p95", "max"]);
  const lines = rows.map(
    ([name, { min, median, p95, max }]) =>
      name.padEnd(width) + cells([min, median, p95, max].map((ms) => ms.toFixed(1))),
  );
  return `${[heading, ...lines].join("\n")}\n`;
}
