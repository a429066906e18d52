/** One case of a row, and how many inputs it tries. */
interface Scored {
  readonly id: string;
  readonly inputs: number;
}

/** What became of every case, told at the end: a line a row, and the count. */
export interface Score {
  started(one: Scored): void;
  /** @param neighbourRatio null where nobody was timed beside it. */
  green(one: Scored, neighbourRatio: number | null): void;
  /** Rows that a filter left out do not appear; one that failed says so. */
  text(notApplicable: Readonly<Record<string, string>>, elsewhere: Readonly<Record<string, string>>): string;
}

export function score(): Score {
  const rows = new Map<string, { inputs: number; green: number; worst: number | null }>();
  const rowOf = ({ id }: Scored) => {
    const row = rows.get(id) ?? { inputs: 0, green: 0, worst: null };
    rows.set(id, row);
    return row;
  };
  return {
    started(one) {
      rowOf(one).inputs += one.inputs;
    },
    green(one, neighbourRatio) {
      const row = rowOf(one);
      row.green += one.inputs;
      if (neighbourRatio !== null) row.worst = Math.max(row.worst ?? 0, neighbourRatio);
    },
    text(notApplicable, elsewhere) {
      const lines = [...rows].map(([id, { inputs, green, worst }]) => {
        const verdict = green === inputs ? "green" : "RED";
        const neighbour = worst === null ? "" : `, neighbour ${worst.toFixed(1)} x idle`;
        return `${id.padEnd(4)} ${verdict.padEnd(5)} ${green} of ${inputs} cases${neighbour}`;
      });
      const left = Object.entries(notApplicable).map(([id, why]) => `${id.padEnd(4)} not applicable: ${why}`);
      const further = Object.entries(elsewhere).map(([id, where]) => `${id.padEnd(4)} tried in ${where}`);
      const all = [...rows.values()];
      const greenRows = all.filter(({ inputs, green }) => inputs === green).length;
      const inputs = all.reduce((sum, row) => sum + row.inputs, 0);
      const count = `${greenRows} of ${all.length} rows green, ${inputs} cases, ${left.length} not applicable`;
      return [...lines, ...further, ...left, count].join("\n");
    },
  };
}
