import type { Reason } from "./failure.ts";
import type { TaskState } from "./task.ts";

/** One task without its payload and result, as on the wire. Times are RFC 3339. */
export interface TaskSummary {
  readonly tenant_id: string;
  readonly task_id: string;
  readonly tool_name: string;
  readonly state: TaskState;
  readonly reason: Reason | null;
  /** 0 before the first lease. */
  readonly attempt: number;
  readonly cancel_requested: boolean;
  readonly received_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
}
