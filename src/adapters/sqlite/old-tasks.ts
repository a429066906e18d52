import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import type { Clock } from "../../ports/clock.ts";
import type { OldTask, OldTasks } from "../../ports/old-tasks.ts";
import * as statements from "./statements.ts";

type Values = Readonly<Record<string, SQLInputValue>>;
type Row = Readonly<Record<string, SQLOutputValue>>;

/** How the store works with its file. */
export interface FileCalls {
  rows(sql: string, values: Values): readonly Row[];
  /** How many rows the statement changed. */
  changed(sql: string, values: Values): number;
  transaction<T>(signal: AbortSignal, work: () => T): Promise<T>;
}

/** What retention asks of the file. Each call blocks the thread for the time of one bounded batch. */
export function oldTasks({ rows, changed, transaction }: FileCalls, clock: Clock): OldTasks {
  return {
    listOld: (what, olderThanMs, abandoned, limit, signal) =>
      transaction(signal, () => {
        const [swept] = rows(statements.selectSwept, { what });
        return rows(statements.listOld, {
          endedBy: clock.now() - olderThanMs,
          sweptAt: swept?.finished_at ?? -1,
          sweptId: swept?.id ?? -1,
          abandoned: JSON.stringify(abandoned),
          limit: atMost1000(limit),
        }).map(oldTask);
      }),
    markSwept: (what, { finishedAt, serial: id }, signal) =>
      transaction(signal, () => void changed(statements.markSwept, { what, finishedAt, id })),
    forget: (tasks, abandoned, signal) =>
      transaction(signal, () => {
        let count = 0;
        for (const { key, serial: id } of tasks) {
          if (changed(statements.forgetTask, { ...key, id, abandoned: JSON.stringify(abandoned) }) === 0) continue;
          changed(statements.forgetAttempts, { ...key });
          changed(statements.forgetMessages, { ...key });
          count += 1;
        }
        return count;
      }),
    forgetSent: (kinds, olderThanMs, limit, signal) =>
      transaction(signal, () =>
        changed(statements.forgetSent, {
          sentBy: clock.now() - olderThanMs,
          kinds: JSON.stringify(kinds),
          limit: atMost1000(limit),
        }),
      ),
    forgetAudit: (olderThanMs, limit, signal) =>
      transaction(signal, () =>
        changed(statements.forgetAudit, { decidedBy: clock.now() - olderThanMs, limit: atMost1000(limit) }),
      ),
  };
}

const oldTask = (row: Row): OldTask => ({
  key: { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
  attempt: Number(row.attempt),
  finishedAt: Number(row.finished_at),
  serial: Number(row.id),
});

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);
