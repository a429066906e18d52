import type { OldTask, OldTasks } from "../../ports/old-tasks.ts";
import type { Connections, Row } from "./connections.ts";
import * as statements from "./statements.ts";

/** What retention asks of the database. Of two executors that sweep at once the second finds less to do. */
export function oldTasks({ rows, transaction }: Connections): OldTasks {
  return {
    async listOld(what, olderThanMs, abandoned, limit, signal) {
      const values = { what, olderThanMs, abandoned, limit: atMost1000(limit) };
      return (await rows(statements.listOld, values, signal, "twice is once")).map(oldTask);
    },
    async markSwept(what, { finishedAt, serial: id }, signal) {
      await rows(statements.markSwept, { what, finishedAt, id }, signal, "twice is once");
    },
    forget: (tasks, abandoned, signal) =>
      transaction(async (rows) => {
        const ids = tasks.map(({ serial }) => serial);
        await rows(statements.lockFinished, { ids });
        return countOf(await rows(statements.forget, { ids, abandoned }));
      }, signal),
    async forgetAudit(olderThanMs, limit, signal) {
      return countOf(await rows(statements.forgetAudit, { olderThanMs, limit: atMost1000(limit) }, signal));
    },
    async forgetSent(kinds, olderThanMs, limit, signal) {
      return countOf(await rows(statements.forgetSent, { kinds, olderThanMs, limit: atMost1000(limit) }, signal));
    },
  };
}

const countOf = ([row]: readonly Row[]): number => Number(row?.count ?? 0);

const oldTask = (row: Row): OldTask => ({
  key: { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
  attempt: Number(row.attempt),
  finishedAt: Number(row.finished_at),
  serial: Number(row.id),
});

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);
