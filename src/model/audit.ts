import type { JsonObject, TaskKey } from "./task.ts";

/** One thing that was decided for a task, for the operator: never changed, and gone only with its retention. */
export interface AuditRecord {
  readonly key: TaskKey;
  readonly attempt: number;
  /** Unix milliseconds of whoever decided it. */
  readonly at: number;
  readonly kind: "egress";
  /** No secret, nothing that a task wrote but names of hosts. */
  readonly detail: JsonObject;
}
