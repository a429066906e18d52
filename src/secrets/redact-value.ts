import type { JsonValue } from "../model/task.ts";
import type { Automaton } from "./automaton.ts";
import { redactor } from "./redactor.ts";

/** Text that is no stream: a message, a name, a field. The same text where there is nothing to redact. */
export function redactText(patterns: Automaton, text: string, onRedacted: (name: string) => void): string {
  if (text.length === 0) return text;
  let redactedCount = 0;
  const stream = redactor(patterns, (name) => {
    redactedCount += 1;
    onRedacted(name);
  });
  const passed = [stream.push(Buffer.from(text)), stream.flush()];
  // Not what was passed: a lone surrogate has no bytes of its own.
  return redactedCount === 0 ? text : Buffer.concat(passed).toString();
}

/**
 * A value with all the text in it redacted, names of members too. Members whose names become the same are numbered, so that none is lost;
 * a number whose digits hold a secret becomes text.
 */
export function redactJson(patterns: Automaton, value: JsonValue, onRedacted: (name: string) => void): JsonValue {
  const text = (each: string): string => redactText(patterns, each, onRedacted);
  const redacted = (each: JsonValue): JsonValue => {
    if (typeof each === "string") return text(each);
    if (typeof each === "number") return redactedNumber(each, text);
    if (each === null || typeof each === "boolean") return each;
    if (isArray(each)) return each.map(redacted);
    const taken = new Set<string>();
    // Object.fromEntries makes a member of its own of `__proto__` too.
    return Object.fromEntries(
      Object.entries(each).map(([name, member]) => [free(text(name), taken), redacted(member)] as const),
    );
  };
  return redacted(value);
}

function redactedNumber(value: number, text: (each: string) => string): JsonValue {
  const digits = String(value);
  const shown = text(digits);
  return shown === digits ? value : shown;
}

function free(name: string, taken: Set<string>): string {
  let found = name;
  for (let number = 2; taken.has(found); number += 1) found = `${name}#${number}`;
  taken.add(found);
  return found;
}

/** `Array.isArray` does not narrow readonly arrays. */
const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);
