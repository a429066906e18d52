import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import type { Journal } from "../ports/journal.ts";
import type { LogEntry } from "../ports/log-sink.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { openAtEnd, utf8 } from "./utf8.ts";

/** Where an attempt's stored output stands. */
export const logsKey = (prefix: string): string => `${prefix}/logs.ndjson.gz`;

/**
 * Stores what the journal kept as gzipped NDJSON (docs/wire.md); the key, or null when the task wrote nothing.
 * @throws ExecutorError internal, with nothing stored.
 */
export async function storeLogs(
  journal: Journal,
  objects: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): Promise<string | null> {
  if (journal.totals().writtenBytes === 0) return null;
  const key = logsKey(prefix);
  await objects.put(key, Readable.from(logLines(journal.entries())).pipe(createGzip({ level: 5 })), signal);
  return key;
}

/**
 * One line an entry. `text` is always whole characters: one that is split between two pieces stands in the later one.
 * A piece that is no UTF-8, or holds a NUL that many a reader cannot store, has `base64` instead.
 */
export function* logLines(entries: Iterable<LogEntry>): Generator<string> {
  const open = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  let last: { seq: number; atMs: number } = { seq: 0, atMs: 0 };
  for (const entry of entries) {
    if (entry.kind === "gap") {
      yield* rest(open, last);
      yield `${JSON.stringify({ gap: { from: entry.from, to: entry.to, bytes: entry.bytes } })}\n`;
      continue;
    }
    last = entry;
    const bytes = Buffer.concat([open[entry.stream], entry.bytes]);
    const cut = bytes.length - openAtEnd(bytes);
    open[entry.stream] = Buffer.from(bytes.subarray(cut));
    if (cut > 0) yield line(entry.seq, entry.atMs, entry.stream, bytes.subarray(0, cut));
  }
  yield* rest(open, last);
}

function* rest(open: Record<"stdout" | "stderr", Buffer>, last: { seq: number; atMs: number }): Generator<string> {
  for (const stream of ["stdout", "stderr"] as const) {
    if (open[stream].length > 0) yield line(last.seq, last.atMs, stream, open[stream]);
    open[stream] = Buffer.alloc(0);
  }
}

function line(seq: number, atMs: number, stream: "stdout" | "stderr", bytes: Buffer): string {
  const text = bytes.includes(0) ? null : utf8(bytes);
  const content = text === null ? { base64: bytes.toString("base64") } : { text };
  return `${JSON.stringify({ seq, time: new Date(atMs).toISOString(), stream, ...content })}\n`;
}
