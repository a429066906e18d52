import type { JsonObject, TaskKey } from "../model/task.ts";
import { type JsonCaps, parseJson } from "./parse-json.ts";
import { idSchema } from "./task-schema.ts";

/** What can be told of a request that is refused: enough to answer whoever sent it. */
export interface RequestIds {
  readonly key: TaskKey;
  readonly toolName: string | null;
  readonly metadata: JsonObject;
}

const idPattern = new RegExp(String(idSchema.pattern));

/** Null when the bytes are no JSON object within the caps, or name no task that could be one. */
export function requestIds(bytes: Uint8Array, caps: JsonCaps): RequestIds | null {
  const request = objectOf(bytes, caps);
  if (request === null) return null;
  const { task_id, tenant_id = "default", tool_name } = request;
  if (!isId(task_id) || !isId(tenant_id)) return null;
  const metadata = isObject(request.metadata) ? request.metadata : {};
  const toolName = typeof tool_name === "string" && tool_name.length <= 100 ? tool_name : null;
  return { key: { tenantId: tenant_id, taskId: task_id }, toolName, metadata };
}

function objectOf(bytes: Uint8Array, caps: JsonCaps): JsonObject | null {
  try {
    const value = parseJson(bytes, { subject: "request", code: "validation", caps, exactNumbers: false });
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

const isId = (value: unknown): value is string => typeof value === "string" && idPattern.test(value);

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
