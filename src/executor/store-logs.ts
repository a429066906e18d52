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

/** The lines of the log object for these entries, each with its end of line. */
export function* logLines(entries: Iterable<LogEntry>): Generator<string> {
  const encoder = logEncoder();
  for (const entry of entries) for (const { text } of encoder.add(entry)) yield `${text}\n`;
  for (const { text } of encoder.end()) yield `${text}\n`;
}

/** One line of the log object, without its end of line. */
export interface LogLine {
  /** Of a gap: the last that is missing. */
  readonly seq: number;
  /** Counts the lines with this number, from 0. */
  readonly part: number;
  readonly isGap: boolean;
  readonly text: string;
}

/**
 * One line an entry. `text` is always whole characters: one that is split between two pieces stands in the later one.
 * A piece that is no UTF-8, or holds a NUL that many a reader cannot store, has `base64` instead. The same entries give the same
 * lines, in however many steps they come.
 */
export function logEncoder(): { add(entry: LogEntry): readonly LogLine[]; end(): readonly LogLine[] } {
  const open = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  const parts = partCounter();
  let last: { seq: number; atMs: number } = { seq: 0, atMs: 0 };
  const outputLine = (seq: number, atMs: number, stream: "stdout" | "stderr", bytes: Buffer): LogLine => ({
    seq,
    part: parts(seq),
    isGap: false,
    text: line(seq, atMs, stream, bytes),
  });
  const rest = (): readonly LogLine[] =>
    (["stdout", "stderr"] as const).flatMap((stream) => {
      const bytes = open[stream];
      open[stream] = Buffer.alloc(0);
      return bytes.length === 0 ? [] : [outputLine(last.seq, last.atMs, stream, bytes)];
    });
  return {
    add(entry) {
      if (entry.kind === "gap") {
        const { from, to, bytes } = entry;
        const before = rest();
        const text = JSON.stringify({ gap: { from, to, bytes } });
        return [...before, { seq: to, part: parts(to), isGap: true, text }];
      }
      last = entry;
      const bytes = open[entry.stream].length === 0 ? entry.bytes : Buffer.concat([open[entry.stream], entry.bytes]);
      const cut = bytes.length - openAtEnd(bytes);
      open[entry.stream] = Buffer.from(bytes.subarray(cut));
      return cut > 0 ? [outputLine(entry.seq, entry.atMs, entry.stream, bytes.subarray(0, cut))] : [];
    },
    end: rest,
  };
}

/** How often a number came right before, for each number of a row. */
export function partCounter(): (seq: number) => number {
  let last = { seq: -1, part: 0 };
  return (seq) => {
    last = { seq, part: seq === last.seq ? last.part + 1 : 0 };
    return last.part;
  };
}

function line(seq: number, atMs: number, stream: "stdout" | "stderr", bytes: Buffer): string {
  const text = bytes.includes(0) ? null : utf8(bytes);
  const content = text === null ? { base64: bytes.toString("base64") } : { text };
  return JSON.stringify({ seq, time: new Date(atMs).toISOString(), stream, ...content });
}
