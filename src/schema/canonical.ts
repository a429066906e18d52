import { createHash } from "node:crypto";
import type { JsonValue, Task } from "../model/task.ts";

/**
 * The one way to write a value (RFC 8785): members by UTF-16 code unit of their names, no white space, numbers and strings
 * as ECMAScript writes them. Equal values give equal text, whatever order they were read in.
 */
export function canonicalJson(value: JsonValue): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.keys(value)
    .sort()
    .flatMap((name) => {
      const member = value[name];
      return member === undefined ? [] : [`${JSON.stringify(name)}:${canonicalJson(member)}`];
    });
  return `{${members.join(",")}}`;
}

/**
 * What makes two requests the same: everything but `metadata`, defaults filled in, as lower-case hex. Fields that no task can use yet
 * count with the value of their absence, so that building them does not turn an old request sent again into another one.
 */
export function requestSha256(task: Task): string {
  const { metadata: _metadata, ...request } = task;
  const whole = {
    ...request,
    network: task.network ?? { allow: [] },
    secrets: task.secrets ?? [],
    callback_url: task.callback_url ?? null,
  };
  return createHash("sha256")
    .update(canonicalJson(toJson(whole)))
    .digest("hex");
}

/** `Array.isArray` does not narrow readonly arrays. */
const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

/** A task is made of JSON only; an interface just has no index signature to say so. */
const toJson = (value: object): JsonValue => value as { readonly [name: string]: JsonValue };
