import type { Reason } from "../../model/failure.ts";
import { parseOwner } from "../../model/owner.ts";
import type { Task, TaskState } from "../../model/task.ts";
import type { TaskRecord } from "../../ports/task-store.ts";
import type { Row } from "./connections.ts";

/** A row of `tasks`. Its JSON and its words are our own: nothing else writes the table. */
export function taskRecord(row: Row): TaskRecord {
  return {
    task: JSON.parse(String(row.request)) as Task,
    requestSha256: String(row.request_sha256),
    state: String(row.state) as TaskState,
    attempt: Number(row.attempt),
    strikes: Number(row.strikes),
    owner: row.lease_owner === null ? null : parseOwner(String(row.lease_owner)),
    leaseUntil: numberOrNull(row.lease_until),
    cancelRequested: row.cancel_requested === true,
    receivedAt: Number(row.received_at),
    startedAt: numberOrNull(row.started_at),
    finishedAt: numberOrNull(row.finished_at),
    sandboxId: row.sandbox_id === null ? null : String(row.sandbox_id),
    resultBytes: row.result instanceof Buffer ? row.result : null,
    reason: row.reason === null ? null : (String(row.reason) as Reason),
  };
}

/** The server's 64-bit numbers come as text; ours are milliseconds and counts, far below 2^53. */
const numberOrNull = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value));
