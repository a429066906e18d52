import { isUtf8 } from "node:buffer";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Attempt } from "../../model/attempt.ts";
import type { LogEntry, LogSink } from "../../ports/log-sink.ts";

export interface FileLogSinkOptions {
  /** Most bytes of lines that wait for the disk, over all attempts; what comes while they do is dropped and counted. */
  readonly maxWaitingBytes: number;
  /** Most bytes of one attempt's file. */
  readonly maxFileBytes: number;
}

export const defaultFileLogSinkOptions: FileLogSinkOptions = {
  maxWaitingBytes: 8 * 1024 * 1024,
  maxFileBytes: 256 * 1024 * 1024,
};

/**
 * The log aggregator of an installation that has none: `<root>/<tenant>/<task>.<attempt>.ndjson`, appended while the task runs,
 * one JSON object a line: `time`, `tenant`, `task`, `attempt`, and either `seq`, `stream` and `text` (or `base64`, for bytes that
 * are no UTF-8 by themselves) or `gap`. Disposing writes out what waits. A disk that fails drops lines; it never fails a task.
 */
export function fileLogSink(root: string, options: FileLogSinkOptions = defaultFileLogSinkOptions): LogSink {
  const waiting = new Map<string, Buffer[]>();
  let waitingBytes = 0;
  let droppedCount = 0;
  let writing: Promise<void> | null = null;

  const writeOut = async (): Promise<void> => {
    for (let next = firstOf(waiting); next !== null; next = firstOf(waiting)) {
      const [path, lines] = next;
      waiting.delete(path);
      try {
        droppedCount += await append(path, lines, options.maxFileBytes);
      } catch {
        droppedCount += lines.length;
      }
      waitingBytes -= lines.reduce((sum, line) => sum + line.byteLength, 0);
    }
    writing = null;
  };

  return {
    write(attempt, entries) {
      const path = join(root, attempt.key.tenantId, `${attempt.key.taskId}.${attempt.number}.ndjson`);
      const lines = waiting.get(path) ?? [];
      for (const entry of entries) {
        const line = Buffer.from(`${JSON.stringify(lineOf(attempt, entry))}\n`);
        if (waitingBytes + line.byteLength > options.maxWaitingBytes) {
          droppedCount += 1;
          continue;
        }
        lines.push(line);
        waitingBytes += line.byteLength;
      }
      if (lines.length === 0) return;
      waiting.set(path, lines);
      writing ??= writeOut();
    },
    dropped: () => droppedCount,
    async [Symbol.asyncDispose]() {
      await writing;
    },
  };
}

function lineOf({ key, number }: Attempt, entry: LogEntry): Readonly<Record<string, string | number | object>> {
  const place = { tenant: key.tenantId, task: key.taskId, attempt: number };
  switch (entry.kind) {
    case "output": {
      const { seq, atMs, stream, bytes } = entry;
      const content = isUtf8(bytes) ? { text: bytes.toString() } : { base64: bytes.toString("base64") };
      return { time: new Date(atMs).toISOString(), ...place, seq, stream, ...content };
    }
    case "gap":
      return { ...place, gap: { from: entry.from, to: entry.to, bytes: entry.bytes } };
  }
}

const firstOf = <Key, Value>(map: ReadonlyMap<Key, Value>): readonly [Key, Value] | null =>
  map.entries().next().value ?? null;

/** Answers how many lines found no room in the file. */
async function append(path: string, lines: readonly Buffer[], maxFileBytes: number): Promise<number> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await using file = await open(path, "a", 0o600);
  let fileBytes = (await file.stat()).size;
  const fitting = lines.filter((line) => {
    if (fileBytes + line.byteLength > maxFileBytes) return false;
    fileBytes += line.byteLength;
    return true;
  });
  await file.writeFile(Buffer.concat(fitting));
  return lines.length - fitting.length;
}
