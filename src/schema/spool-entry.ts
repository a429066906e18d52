import type { Attempt } from "../model/attempt.ts";
import { ownerText, parseOwner } from "../model/owner.ts";
import type { SpoolEntry } from "../model/spool-entry.ts";
import type { JsonObject, JsonValue, Task, TaskKey } from "../model/task.ts";

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
    case "cancel":
      return { kind: entry.kind, ...keyJson(entry.key), stub_ttl_ms: entry.stubTtlMs };
    case "refusal":
      return {
        ...{ kind: entry.kind, ...keyJson(entry.key), headers: entry.letter.headers },
        ...{
          result_base64: entry.resultBytes.toString("base64"),
          letter_base64: entry.letter.value.toString("base64"),
        },
      };
    case "finish":
      return { kind: entry.kind, ...attemptJson(entry.attempt), result_base64: entry.resultBytes.toString("base64") };
    case "release":
      return { kind: entry.kind, ...attemptJson(entry.attempt), strike: entry.strike };
  }
}

const keyJson = ({ tenantId, taskId }: TaskKey) => ({ tenant_id: tenantId, task_id: taskId });

const attemptJson = ({ key, number, owner }: Attempt) => ({
  ...keyJson(key),
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
  if (kind === "cancel" || kind === "refusal") return askedOf(json);
  const attempt = attemptOf(json);
  if (attempt === null) return null;
  if (kind === "finish" && typeof json.result_base64 === "string")
    return { kind, attempt, resultBytes: Buffer.from(json.result_base64, "base64") };
  if (kind === "release" && typeof json.strike === "boolean") return { kind, attempt, strike: json.strike };
  return null;
}

function askedOf(json: JsonObject): SpoolEntry | null {
  const { kind, tenant_id: tenantId, task_id: taskId, stub_ttl_ms: stubTtlMs } = json;
  const { headers, result_base64: result, letter_base64: letter } = json;
  if (typeof tenantId !== "string" || typeof taskId !== "string") return null;
  const key: TaskKey = { tenantId, taskId };
  if (kind === "cancel") return typeof stubTtlMs === "number" ? { kind, key, stubTtlMs } : null;
  if (typeof result !== "string" || typeof letter !== "string" || !isObject(headers)) return null;
  return {
    ...{ kind: "refusal", key, resultBytes: Buffer.from(result, "base64") },
    letter: { headers: headers as Readonly<Record<string, string>>, value: Buffer.from(letter, "base64") },
  };
}

function attemptOf({ tenant_id: tenantId, task_id: taskId, attempt, owner: text }: JsonObject): Attempt | null {
  const owner = typeof text === "string" ? parseOwner(text) : null;
  if (typeof tenantId !== "string" || typeof taskId !== "string" || typeof attempt !== "number" || owner === null)
    return null;
  return { key: { tenantId, taskId }, number: attempt, owner };
}

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
