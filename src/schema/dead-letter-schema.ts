import type { JsonObject } from "../model/task.ts";

const properties: JsonObject = {
  id: { type: "integer" },
  tenant_id: { type: ["string", "null"] },
  task_id: { type: ["string", "null"] },
  reason: { type: "string", description: "one of docs/failures.md" },
  stage: { enum: ["intake", "execute", "callback"] },
  attempts: { type: "integer" },
  first_seen: { type: ["string", "null"] },
  source: { type: ["string", "null"] },
  error: { type: ["string", "null"] },
  created_at: { type: "string" },
};

export const letterSummarySchema: JsonObject = {
  title: "Dead letter",
  type: "object",
  required: Object.keys(properties),
  properties,
};

export const letterSchema: JsonObject = {
  title: "Dead letter with its bytes",
  type: "object",
  required: [...Object.keys(properties), "value", "value_encoding"],
  properties: { ...properties, value: { type: "string" }, value_encoding: { enum: ["utf-8", "base64"] } },
};
