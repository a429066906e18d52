import { ExecutorError, type FailureDetail, type Reason } from "../model/failure.ts";
import type { JsonValue } from "../model/task.ts";
import { maxDetails, pathName, pointerSegment, summary } from "./failure-details.ts";

/** What untrusted JSON may cost. Bytes, depth and count are looked at before anything is built from them. */
export interface JsonCaps {
  readonly maxBytes: number;
  /** Arrays and objects inside each other. */
  readonly maxDepth: number;
  /** Members and items in all. */
  readonly maxValues: number;
}

export interface JsonSource {
  /** What it is, for messages: `request`. */
  readonly subject: string;
  /** The failure that bad JSON is. */
  readonly code: Reason;
  readonly caps: JsonCaps;
  /** Refuses numbers that would not come back as they were written: over 2^53-1 as an integer, and -0. */
  readonly exactNumbers: boolean;
}

/**
 * JSON from outside, within caps: UTF-8 without a byte order mark, no number that becomes infinite, no lone surrogate,
 * no member named `__proto__`. Of a repeated member the last one counts.
 * @throws ExecutorError with `source.code`, naming what was met and what was allowed. The text itself is never quoted: it may hold secrets.
 */
export function parseJson(bytes: Uint8Array, source: JsonSource): JsonValue {
  return checkJson(parseLooseJson(bytes, source), source);
}

/** The same before anything in it is looked at: numbers that cannot be held, half characters and names that no field may have pass. */
export function parseLooseJson(bytes: Uint8Array, source: Omit<JsonSource, "exactNumbers">): unknown {
  const { subject, code, caps } = source;
  if (bytes.byteLength > caps.maxBytes) {
    throw new ExecutorError(code, `${subject} is ${bytes.byteLength} bytes long, at most ${caps.maxBytes}`);
  }
  measure(bytes, source);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    // Not kept as the cause: the parser's own message quotes the text.
    throw new ExecutorError(code, `${subject} is no JSON in UTF-8${placeOf(error)}`);
  }
}

/**
 * The same rules for a value that is already there. Members that are `undefined` count as absent.
 * @throws ExecutorError with `source.code` and a detail for each thing wrong.
 */
export function checkJson(value: unknown, source: JsonSource): JsonValue {
  const { subject, code, caps, exactNumbers } = source;
  const details: FailureDetail[] = [];
  let valueCount = 0;
  let textBytes = 0;
  const wrong = (path: string, why: string): void => {
    if (details.length < maxDetails) details.push({ path, message: `${pathName(path, subject)} ${why}` });
  };
  const visitText = (text: string, path: string): void => {
    textBytes += Buffer.byteLength(text);
    if (!text.isWellFormed()) wrong(path, "has half of a surrogate pair, which is no Unicode text");
  };
  const visit = (item: unknown, path: string, depth: number): void => {
    valueCount += 1;
    if (typeof item === "string") visitText(item, path);
    else if (typeof item === "number") {
      const why = numberProblem(item, exactNumbers);
      if (why !== null) wrong(path, why);
    } else if (typeof item === "object" && item !== null) {
      if (depth >= caps.maxDepth) wrong(path, `is nested deeper than ${caps.maxDepth} levels`);
      else visitMembers(item, path, depth + 1);
    } else if (typeof item !== "boolean" && item !== null) wrong(path, `is a ${typeof item}, which is no JSON`);
  };
  const visitMembers = (item: object, path: string, depth: number): void => {
    for (const [name, member] of Object.entries(item)) {
      // A value in memory may contain itself.
      if (valueCount > caps.maxValues) return;
      if (member === undefined) continue;
      const memberPath = `${path}/${pointerSegment(name)}`;
      visitText(name, memberPath);
      if (name === "__proto__") wrong(memberPath, "is a name no field may have");
      visit(member, memberPath, depth);
    }
  };
  visit(value, "", 0);
  if (valueCount > caps.maxValues) wrong("", `has more than ${caps.maxValues} values`);
  if (textBytes > caps.maxBytes) wrong("", `has ${textBytes} bytes of text, at most ${caps.maxBytes}`);
  if (details.length > 0) throw new ExecutorError(code, summary(details), { details });
  // Walked to its last leaf above.
  return value as JsonValue;
}

/** Depth and count straight from the bytes, so that a small text cannot become a large tree first. Strings are skipped whole. */
function measure(bytes: Uint8Array, { subject, code, caps }: Omit<JsonSource, "exactNumbers">): void {
  let depth = 0;
  let separators = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case 0x22: // "
        at = endOfString(bytes, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        separators += 1;
        if (depth > caps.maxDepth)
          throw new ExecutorError(code, `${subject} is nested deeper than ${caps.maxDepth} levels`);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      case 0x2c: // ,
        separators += 1;
        if (separators > caps.maxValues)
          throw new ExecutorError(code, `${subject} has more than ${caps.maxValues} values`);
        break;
    }
  }
}

/** Index of the closing quote of the string that opens at `start`, or the end of the text. */
function endOfString(bytes: Uint8Array, start: number): number {
  let quote = bytes.indexOf(0x22, start + 1);
  while (quote !== -1) {
    let backslashes = 0;
    while (bytes[quote - 1 - backslashes] === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return quote;
    quote = bytes.indexOf(0x22, quote + 1);
  }
  return bytes.length;
}

function numberProblem(value: number, exact: boolean): string | null {
  if (!Number.isFinite(value)) return "is a number too large to hold";
  if (!exact) return null;
  if (Object.is(value, -0)) return "is -0, write 0";
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return `is about ${value}, an integer over ${Number.MAX_SAFE_INTEGER} would be rounded: write it as a string`;
  }
  return null;
}

/** Where the parser stopped, for people. */
function placeOf(error: unknown): string {
  const place = error instanceof SyntaxError ? /\(line \d+ column \d+\)/.exec(error.message) : null;
  return place === null ? "" : ` ${place[0]}`;
}
