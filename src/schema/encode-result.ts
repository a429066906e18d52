import type { Result } from "../model/result.ts";
import type { JsonObject, JsonValue } from "../model/task.ts";
import { resultSchema } from "./result-schema.ts";

/** The bytes that are stored and sent: equal results give equal bytes, in the order of `resultSchema`. One line, no end of line. */
export function encodeResult(result: Result): Buffer {
  // A result is made of JSON only; an interface just has no index signature to say so.
  return Buffer.from(JSON.stringify(inOrder(result as unknown as JsonObject, resultSchema)));
}

/** The members a schema names come in its order; what it leaves open keeps its own. */
function inOrder(value: JsonValue, schema: JsonObject): JsonValue {
  if (isArray(value)) {
    const items = asObject(schema.items);
    return items === null ? value : value.map((item) => inOrder(item, items));
  }
  const properties = asObject(schema.properties);
  const object = asObject(value);
  if (object === null || properties === null) return value;
  const ordered: Record<string, JsonValue> = {};
  for (const [name, member] of Object.entries(properties)) {
    const memberValue = object[name];
    if (memberValue !== undefined) ordered[name] = inOrder(memberValue, asObject(member) ?? {});
  }
  return ordered;
}

const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

const asObject = (value: JsonValue | undefined): JsonObject | null =>
  typeof value === "object" && value !== null && !isArray(value) ? value : null;
