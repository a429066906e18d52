import type { SQLOutputValue } from "node:sqlite";
import type { Reason } from "../../model/failure.ts";
import { parseOwner } from "../../model/owner.ts";
import type { Task, TaskState } from "../../model/task.ts";
import type { TaskRecord } from "../../ports/task-store.ts";

/** A row of `tasks`. Its JSON and its words are our own: nothing else writes the table. */
export function taskRecord(row: Readonly<Record<string, SQLOutputValue>>): TaskRecord {
  return {
    task: JSON.parse(String(row.request)) as Task,
    requestSha256: String(row.request_sha256),
    state: String(row.state) as TaskState,
    attempt: Number(row.attempt),
    strikes: Number(row.strikes),
    owner: row.lease_owner === null ? null : parseOwner(String(row.lease_owner)),
    leaseUntil: numberOrNull(row.lease_until),
    cancelRequested: row.cancel_requested === 1,
    receivedAt: Number(row.received_at),
    startedAt: numberOrNull(row.started_at),
    finishedAt: numberOrNull(row.finished_at),
    sandboxId: row.sandbox_id === null ? null : String(row.sandbox_id),
    resultBytes: row.result instanceof Uint8Array ? Buffer.from(row.result) : null,
    reason: row.reason === null ? null : (String(row.reason) as Reason),
  };
}

const numberOrNull = (value: SQLOutputValue | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);
