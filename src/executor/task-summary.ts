import type { Task } from "../model/task.ts";
import type { TaskSummary } from "../model/task-summary.ts";
import type { TaskRecord } from "../ports/task-store.ts";

/** What is told of a task before it has a result. */
export function taskSummary(record: TaskRecord): TaskSummary {
  const { task, state, attempt, reason, cancelRequested } = record;
  return {
    tenant_id: task.tenant_id,
    task_id: task.task_id,
    tool_name: task.tool_name,
    state,
    reason,
    attempt,
    cancel_requested: cancelRequested,
    received_at: new Date(record.receivedAt).toISOString(),
    started_at: timeOrNull(record.startedAt),
    finished_at: timeOrNull(record.finishedAt),
  };
}

/** The same of a task that is kept, and not in the store yet. */
export const receivedSummary = ({ tenant_id, task_id, tool_name }: Task, receivedAt: number): TaskSummary => ({
  tenant_id,
  task_id,
  tool_name,
  state: "RECEIVED",
  reason: null,
  attempt: 0,
  cancel_requested: false,
  received_at: new Date(receivedAt).toISOString(),
  started_at: null,
  finished_at: null,
});

const timeOrNull = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());
