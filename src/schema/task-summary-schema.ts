import type { JsonObject } from "../model/task.ts";

const time: JsonObject = { type: "string", format: "date-time" };
const timeOrNull: JsonObject = { type: ["string", "null"], format: "date-time" };

/** `TaskSummary` as JSON Schema (2020-12). */
export const taskSummarySchema: JsonObject = {
  title: "Task",
  type: "object",
  additionalProperties: false,
  required: ["tenant_id", "task_id", "tool_name", "state", "reason", "attempt", "cancel_requested", "received_at"],
  properties: {
    tenant_id: { type: "string" },
    task_id: { type: "string" },
    tool_name: { type: "string" },
    state: { enum: ["RECEIVED", "QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING", "FINISHED"] },
    reason: { type: ["string", "null"] },
    attempt: { type: "integer", minimum: 0 },
    cancel_requested: { type: "boolean" },
    received_at: time,
    started_at: timeOrNull,
    finished_at: timeOrNull,
  },
};
