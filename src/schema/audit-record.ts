import type { AuditRecord } from "../model/audit.ts";
import type { JsonObject, TaskKey } from "../model/task.ts";

/** A row of `audit`, whatever the database makes of its numbers. Nothing but us writes there. */
export const auditRecord = (key: TaskKey, row: Readonly<Record<string, unknown>>): AuditRecord => ({
  key,
  attempt: Number(row.attempt),
  at: Number(row.at),
  kind: row.kind as AuditRecord["kind"],
  detail: row.detail as JsonObject,
});
