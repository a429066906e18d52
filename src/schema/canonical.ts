import { createHash } from "node:crypto";
import type { JsonValue, Task } from "../model/task.ts";

/**
 * The one way to write a value (RFC 8785): members by UTF-16 code unit of their names, no white space, numbers and strings
 * as ECMAScript writes them. Equal values give equal text, whatever order they were read in.
 */
export function canonicalJson(value: JsonValue): string {
  let whole = "";
  writeCanonical(value, (piece) => {
    whole += piece;
  });
  return whole;
}

/** The same piece by piece: a text in the value that is longer than `pieceChars` is never copied as a whole. */
function writeCanonical(value: JsonValue, write: (piece: string) => void): void {
  if (typeof value === "string" && value.length > pieceChars) writeLongText(value, write);
  else if (value === null || typeof value !== "object") write(JSON.stringify(value));
  else if (isArray(value)) {
    write("[");
    for (const [index, item] of value.entries()) {
      if (index > 0) write(",");
      writeCanonical(item, write);
    }
    write("]");
  } else writeMembers(value, write);
}

function writeMembers(value: Readonly<Record<string, JsonValue | undefined>>, write: (piece: string) => void): void {
  write("{");
  let between = "";
  for (const name of Object.keys(value).sort()) {
    const member = value[name];
    if (member === undefined) continue;
    write(`${between}${JSON.stringify(name)}:`);
    writeCanonical(member, write);
    between = ",";
  }
  write("}");
}

/** UTF-16 code units. */
const pieceChars = 64 * 1024;

function writeLongText(text: string, write: (piece: string) => void): void {
  write('"');
  for (let at = 0; at < text.length; ) {
    // A pair is one character, and half of it would be written as an escape.
    const end = at + pieceChars - (isHighSurrogate(text.charCodeAt(at + pieceChars - 1)) ? 1 : 0);
    write(JSON.stringify(text.slice(at, end)).slice(1, -1));
    at = end;
  }
  write('"');
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;

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
  const hash = createHash("sha256");
  // A small request is one update.
  let pieces = "";
  writeCanonical(toJson(whole), (piece) => {
    pieces += piece;
    if (pieces.length < pieceChars) return;
    hash.update(pieces);
    pieces = "";
  });
  return hash.update(pieces).digest("hex");
}

/** `Array.isArray` does not narrow readonly arrays. */
const isArray = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

/** A task is made of JSON only; an interface just has no index signature to say so. */
const toJson = (value: object): JsonValue => value as { readonly [name: string]: JsonValue };
