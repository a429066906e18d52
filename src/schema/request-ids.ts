import type { JsonObject, TaskKey } from "../model/task.ts";
import { checkJson, type JsonCaps, parseLooseJson } from "./parse-json.ts";
import { idSchema } from "./task-schema.ts";

/** What can be told of a request that is refused: enough to answer whoever sent it. */
export interface RequestIds {
  readonly key: TaskKey;
  readonly toolName: string | null;
  /** Nothing, where it is more than a request may have of it, or no proper JSON. */
  readonly metadata: JsonObject;
}

const maxMetadataBytes = 16 * 1024;
const idPattern = new RegExp(String(idSchema.pattern));

/** Null when the bytes are no JSON object within the caps, or name no task that could be one. */
export function requestIds(bytes: Uint8Array, caps: JsonCaps): RequestIds | null {
  const request = valueOrNull(() => parseLooseJson(bytes, { subject: "request", code: "validation", caps }));
  if (!isObject(request)) return null;
  const { task_id, tenant_id = "default", tool_name, metadata } = request;
  if (!isId(task_id) || !isId(tenant_id)) return null;
  const isName = typeof tool_name === "string" && tool_name.length <= 100 && tool_name.isWellFormed();
  return {
    key: { tenantId: tenant_id, taskId: task_id },
    toolName: isName ? tool_name : null,
    metadata: checkedMetadata(metadata, caps),
  };
}

function checkedMetadata(metadata: unknown, caps: JsonCaps): JsonObject {
  if (!isObject(metadata)) return {};
  const source = { subject: "metadata", code: "validation", caps, exactNumbers: true } as const;
  const checked = valueOrNull(() => checkJson(metadata, source));
  return isObject(checked) && Buffer.byteLength(JSON.stringify(checked)) <= maxMetadataBytes ? checked : {};
}

function valueOrNull(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return null;
  }
}

const isId = (value: unknown): value is string => typeof value === "string" && idPattern.test(value);

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
