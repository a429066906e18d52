import type { Reason, Status } from "../model/failure.ts";
import type { Artifact } from "../model/result.ts";
import type { TaskKey } from "../model/task.ts";

/** What happens to a task, as on the wire (docs/wire.md). */
export type ProgressMessage =
  | { readonly event: "queued" }
  | { readonly event: "started" }
  | { readonly event: "progress"; readonly progress: number | null; readonly message: string | null }
  | { readonly event: "artifact"; readonly artifact: Artifact }
  | { readonly event: "finished"; readonly status: Status; readonly reason: Reason };

/** @param at Unix milliseconds. */
export function encodeProgress({ tenantId, taskId }: TaskKey, message: ProgressMessage, at: number): Buffer {
  const { event, ...rest } = message;
  const time = new Date(at).toISOString();
  return Buffer.from(
    JSON.stringify({ schema_version: 1, task_id: taskId, tenant_id: tenantId, event, at: time, ...rest }),
  );
}
