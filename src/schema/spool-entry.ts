import type { Attempt } from "../model/attempt.ts";
import { ownerText, parseOwner } from "../model/owner.ts";
import type { SpoolEntry } from "../model/spool-entry.ts";
import type { JsonObject, JsonValue, Task } from "../model/task.ts";

/** The bytes that a spool keeps: JSON, with a result's bytes as base64 so that they come back as they were. */
export function encodeSpoolEntry(entry: SpoolEntry): Buffer {
  return Buffer.from(JSON.stringify(asJson(entry)));
}

/** Null for what {@link encodeSpoolEntry} has not written, or not to its end. */
export function decodeSpoolEntry(bytes: Uint8Array): SpoolEntry | null {
  try {
    return fromJson(JSON.parse(Buffer.from(bytes).toString("utf8")) as JsonObject);
  } catch {
    return null;
  }
}

function asJson(entry: SpoolEntry): object {
  switch (entry.kind) {
    case "intake":
      return { kind: entry.kind, task: entry.task, request_sha256: entry.requestSha256, asked_at: entry.askedAt };
    case "finish":
      return { kind: entry.kind, ...attemptJson(entry.attempt), result_base64: entry.resultBytes.toString("base64") };
    case "release":
      return { kind: entry.kind, ...attemptJson(entry.attempt), strike: entry.strike };
  }
}

const attemptJson = ({ key, number, owner }: Attempt) => ({
  tenant_id: key.tenantId,
  task_id: key.taskId,
  attempt: number,
  owner: ownerText(owner),
});

/** What a later version wrote and this one does not know is not guessed at. */
function fromJson(json: JsonObject): SpoolEntry | null {
  const { kind, task, request_sha256: requestSha256, asked_at: askedAt } = json;
  if (kind === "intake") {
    if (!isObject(task) || typeof requestSha256 !== "string") return null;
    // Was checked before it was taken in; this is our own writing.
    const asked = typeof askedAt === "number" ? askedAt : null;
    return { kind, task: task as unknown as Task, requestSha256, askedAt: asked };
  }
  const attempt = attemptOf(json);
  if (attempt === null) return null;
  if (kind === "finish" && typeof json.result_base64 === "string")
    return { kind, attempt, resultBytes: Buffer.from(json.result_base64, "base64") };
  if (kind === "release" && typeof json.strike === "boolean") return { kind, attempt, strike: json.strike };
  return null;
}

function attemptOf({ tenant_id: tenantId, task_id: taskId, attempt, owner: text }: JsonObject): Attempt | null {
  const owner = typeof text === "string" ? parseOwner(text) : null;
  if (typeof tenantId !== "string" || typeof taskId !== "string" || typeof attempt !== "number" || owner === null)
    return null;
  return { key: { tenantId, taskId }, number: attempt, owner };
}

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
