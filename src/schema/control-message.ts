import type { JsonObject, TaskKey } from "../model/task.ts";
import { type JsonSource, parseJson } from "./parse-json.ts";
import { idSchema } from "./task-schema.ts";
import { validator } from "./validator.ts";

/** A wish about a task, whether it has come or not. */
export interface ControlMessage {
  readonly action: "cancel";
  readonly key: TaskKey;
}

/** As on the wire (docs/wire.md), as JSON Schema (2020-12). */
export const controlSchema: JsonObject = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "A wish about a tool call",
  type: "object",
  additionalProperties: false,
  required: ["task_id", "action"],
  properties: { schema_version: { const: 1 }, tenant_id: idSchema, task_id: idSchema, action: { enum: ["cancel"] } },
};

const source: JsonSource = {
  subject: "control message",
  code: "validation",
  caps: { maxBytes: 4096, maxDepth: 2, maxValues: 16 },
  exactNumbers: true,
};

const check = validator<{ readonly tenant_id?: string; readonly task_id: string; readonly action: "cancel" }>(
  controlSchema,
  { subject: "control message", at: "", code: "validation" },
);

/** @throws ExecutorError validation, with a detail for each thing wrong. */
export function parseControl(bytes: Uint8Array): ControlMessage {
  const { tenant_id = "default", task_id, action } = check(parseJson(bytes, source));
  return { action, key: { tenantId: tenant_id, taskId: task_id } };
}
