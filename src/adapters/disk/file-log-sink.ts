import { isUtf8 } from "node:buffer";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Attempt } from "../../model/attempt.ts";
import type { LogEntry, LogSink } from "../../ports/log-sink.ts";
import { logFile } from "./log-files.ts";

export interface FileLogSinkOptions {
  /** Most bytes of lines that wait for the disk, over all attempts; what comes while they do is dropped and counted. */
  readonly maxWaitingBytes: number;
  /** Most bytes of one attempt's file. */
  readonly maxFileBytes: number;
}

export const defaultFileLogSinkOptions: FileLogSinkOptions = {
  maxWaitingBytes: 4 * 1024 * 1024,
  maxFileBytes: 16 * 1024 * 1024,
};

/** What one attempt has waiting for its file. */
interface Queue {
  readonly attempt: Attempt;
  readonly path: string;
  entries: LogEntry[];
  /** The file has no room for more: from here on entries are only counted. */
  full: boolean;
}

/**
 * The log aggregator of an installation that has none: `<root>/<tenant>/<task>.<attempt>.ndjson`, appended while the task runs,
 * one JSON object a line: `time`, `tenant`, `task`, `attempt`, and either `seq`, `stream` and `text` (or `base64`, for bytes that
 * are no UTF-8 by themselves or hold a NUL) or `gap`. Disposing writes out what waits. A disk that fails drops lines; it never fails a task.
 */
export function fileLogSink(root: string, options: FileLogSinkOptions = defaultFileLogSinkOptions): LogSink {
  const queues = new WeakMap<Attempt, Queue>();
  const ready: Queue[] = [];
  let waitingBytes = 0;
  let droppedCount = 0;
  let writing: Promise<void> | null = null;

  const queueOf = (attempt: Attempt): Queue => {
    const known = queues.get(attempt);
    if (known) return known;
    const path = logFile(root, attempt.key, attempt.number);
    const queue: Queue = { attempt, path, entries: [], full: false };
    queues.set(attempt, queue);
    return queue;
  };

  const writeOut = async (): Promise<void> => {
    for (let queue = ready.shift(); queue; queue = ready.shift()) {
      const entries = queue.entries;
      queue.entries = [];
      try {
        const left = await append(queue, entries, options.maxFileBytes);
        queue.full = left > 0;
        droppedCount += left;
      } catch {
        droppedCount += entries.length;
      }
      waitingBytes -= sizeOf(entries);
    }
    writing = null;
  };

  return {
    write(attempt, entries) {
      if (entries.length === 0) return;
      const queue = queueOf(attempt);
      const bytes = sizeOf(entries);
      if (queue.full || waitingBytes + bytes > options.maxWaitingBytes) {
        droppedCount += entries.length;
        return;
      }
      if (queue.entries.length === 0) ready.push(queue);
      for (const entry of entries) queue.entries.push(ownEntry(entry));
      waitingBytes += bytes;
      writing ??= writeOut();
    },
    dropped: () => droppedCount,
    async [Symbol.asyncDispose]() {
      await writing;
    },
  };
}

/** The caller's bytes are good for the time of the call only. */
const ownEntry = (entry: LogEntry): LogEntry =>
  entry.kind === "output" ? { ...entry, bytes: Buffer.from(entry.bytes) } : entry;

const sizeOf = (entries: readonly LogEntry[]): number =>
  entries.reduce((sum, entry) => sum + (entry.kind === "output" ? entry.bytes.byteLength : 0), 0);

function lineOf({ key, number }: Attempt, entry: LogEntry): Readonly<Record<string, string | number | object>> {
  const place = { tenant: key.tenantId, task: key.taskId, attempt: number };
  switch (entry.kind) {
    case "output": {
      const { seq, atMs, stream, bytes } = entry;
      const content =
        isUtf8(bytes) && !bytes.includes(0) ? { text: bytes.toString() } : { base64: bytes.toString("base64") };
      return { time: new Date(atMs).toISOString(), ...place, seq, stream, ...content };
    }
    case "gap":
      return { ...place, gap: { from: entry.from, to: entry.to, bytes: entry.bytes } };
  }
}

/** Encodes only what finds room, and answers how many entries found none. */
async function append({ attempt, path }: Queue, entries: readonly LogEntry[], maxFileBytes: number): Promise<number> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await using file = await open(path, "a", 0o600);
  let fileBytes = (await file.stat()).size;
  for (const [index, entry] of entries.entries()) {
    const line = Buffer.from(`${JSON.stringify(lineOf(attempt, entry))}\n`);
    if (fileBytes + line.byteLength > maxFileBytes) return entries.length - index;
    await file.writeFile(line);
    fileBytes += line.byteLength;
  }
  return 0;
}
