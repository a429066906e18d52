import type { HostileCase } from "./hostile-case.ts";

/** What became of every case, told at the end: a line a row, and the count. */
export interface Score {
  started(one: HostileCase): void;
  green(one: HostileCase, neighbourRatio: number): void;
  /** Rows that a filter left out do not appear; one that failed says so. */
  text(notApplicable: Readonly<Record<string, string>>): string;
}

export function score(): Score {
  const rows = new Map<string, { cases: number; green: number; worst: number }>();
  const rowOf = ({ id }: HostileCase) => {
    const row = rows.get(id) ?? { cases: 0, green: 0, worst: 0 };
    rows.set(id, row);
    return row;
  };
  return {
    started(one) {
      rowOf(one).cases += 1;
    },
    green(one, neighbourRatio) {
      const row = rowOf(one);
      row.green += 1;
      row.worst = Math.max(row.worst, neighbourRatio);
    },
    text(notApplicable) {
      const lines = [...rows].map(([id, { cases, green, worst }]) => {
        const verdict = green === cases ? "green" : "RED";
        return `${id.padEnd(4)} ${verdict.padEnd(5)} ${green} of ${cases} cases, neighbour ${worst.toFixed(1)} x idle`;
      });
      const left = Object.entries(notApplicable).map(([id, why]) => `${id.padEnd(4)} not applicable: ${why}`);
      const all = [...rows.values()];
      const greenRows = all.filter(({ cases, green }) => cases === green).length;
      const cases = all.reduce((sum, row) => sum + row.cases, 0);
      const count = `${greenRows} of ${all.length} rows green, ${cases} cases, ${left.length} not applicable`;
      return [...lines, ...left, count].join("\n");
    },
  };
}
