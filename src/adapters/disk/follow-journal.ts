import { type FileHandle, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogEntry } from "../../ports/log-sink.ts";
import { decodeRecords } from "./journal-record.ts";
import { codeOf } from "./private-folder.ts";

/** Resolves when it is worth looking again. Must not throw. */
export type Nap = (signal: AbortSignal) => Promise<void>;

const pollMs = 50;
const polled: Nap = (signal) => sleep(pollMs, undefined, { signal }).catch(() => undefined);

const readBytes = 1024 * 1024;

/**
 * Reads a journal from another process while it is written, from entry `afterSeq` on; ends when `isOver` says so and nothing more
 * is there, or when the folder is gone. A reader so slow that a segment was dropped meets a `gap`; its bytes are not known (0). A batch
 * is empty where it has only waited, so that its reader may do something else.
 * @param nap how long to wait between two looks; a poll unless given.
 */
export async function* followJournal(
  folder: string,
  afterSeq: number,
  isOver: () => Promise<boolean>,
  signal: AbortSignal,
  nap: Nap = polled,
): AsyncGenerator<readonly LogEntry[]> {
  let lastSeq = afterSeq;
  let current = "";
  for (let over = false; !signal.aborted; ) {
    const next = (await segments(folder)).find((name) => name > current);
    if (next === undefined) {
      if (over) return;
      over = await isOver();
      if (over) continue;
      await nap(signal);
      yield [];
      continue;
    }
    for await (const entries of segment(folder, next, isOver, signal, nap)) {
      const fresh = entries.filter(({ seq }) => seq > afterSeq);
      const first = fresh[0];
      if (first === undefined) {
        yield [];
        continue;
      }
      // Numbers also count frames that are no output, so only a missing segment tells of a loss.
      if (current !== "" && isSkipped(current, next))
        yield [{ kind: "gap", from: lastSeq + 1, to: first.seq - 1, bytes: 0 }];
      lastSeq = fresh.at(-1)?.seq ?? lastSeq;
      current = next;
      yield fresh;
    }
    current = next;
  }
}

async function segments(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith(".seg")).sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

const isSkipped = (before: string, name: string): boolean =>
  Number.parseInt(name, 10) > Number.parseInt(before, 10) + 1;

/** One segment to its end: until a later one is there, or the writer is done. */
async function* segment(
  folder: string,
  name: string,
  isOver: () => Promise<boolean>,
  signal: AbortSignal,
  nap: Nap,
): AsyncGenerator<ReturnType<typeof decodeRecords>["entries"]> {
  let file: FileHandle;
  try {
    file = await open(join(folder, name));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  await using _closed = file;
  let rest = Buffer.alloc(0);
  let position = 0;
  for (let last = false; !signal.aborted; ) {
    const buffer = Buffer.allocUnsafe(readBytes);
    const { bytesRead } = await file.read(buffer, 0, readBytes, position);
    position += bytesRead;
    const { entries, usedBytes } = decodeRecords(Buffer.concat([rest, buffer.subarray(0, bytesRead)]));
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]).subarray(usedBytes);
    if (entries.length > 0) yield entries;
    if (bytesRead > 0) continue;
    if (last) return;
    // Whatever was written before a later segment or the end was seen is there at the next read.
    last = (await segments(folder)).some((other) => other > name) || (await isOver());
    if (last) continue;
    await nap(signal);
    yield [];
  }
}
