import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writevSync,
} from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ExecutorError } from "../../model/failure.ts";
import type { RedactionPoint } from "../../model/redaction-point.ts";
import type { Journal } from "../../ports/journal.ts";
import type { LogEntry } from "../../ports/log-sink.ts";
import { decodeRecords, encodeRecord } from "./journal-record.ts";
import { codeOf } from "./private-folder.ts";
import { ifThere } from "./record-file.ts";

/** One file of the journal: small enough to drop one without dropping much. */
const segmentBytes = 1024 * 1024;
/** A follower may be this far behind before it meets a gap, whatever the cap. */
const followerBytes = 8 * 1024 * 1024;

interface Segment {
  readonly number: number;
  readonly name: string;
  readonly firstSeq: number;
  lastSeq: number;
  /** Of output. */
  bytes: number;
  /** With the records' headers. */
  fileBytes: number;
}

/** The file of a segment; followers sort by name. `beforeBytes`: how much output was written before it, dropped or not. */
const segmentName = (number: number, beforeBytes: number): string =>
  `${String(number).padStart(8, "0")}.${beforeBytes}.seg`;

/** One on disk that can be gone on with. */
export interface FileJournal extends Journal {
  /** Of the last output that stands here; 0 where there is none. */
  lastSeq(): number;
  /** Of the last output, where it has one. */
  redactionPoint(): RedactionPoint | null;
}

/**
 * A journal in `folder`, which is made when the first output comes, in a folder that is there, or gone on with where another process left
 * one, with the same `capBytes`. Half of them hold the first output, the other half the last.
 * On disk there are at most `capBytes` and what a follower needs; disposing closes, it does not remove.
 * @param isNew nobody can have left one there, so nothing is looked for.
 */
export async function fileJournal(folder: string, capBytes: number, isNew = false): Promise<FileJournal> {
  const headCapBytes = Math.floor(capBytes / 2);
  const tailCapBytes = capBytes - headCapBytes;
  const head: Segment[] = [];
  let tail: Segment[] = [];
  let headBytes = 0;
  let tailBytes = 0;
  let writtenBytes = 0;
  let number = 0;
  let file: number | null = null;
  let isHead = true;
  let lastPoint: RedactionPoint | null = null;

  const roll = (segments: Segment[], firstSeq: number): Segment => {
    if (file === null) makeFolder(folder);
    else closeSync(file);
    number += 1;
    const name = segmentName(number, writtenBytes);
    file = openSync(join(folder, name), "wx", 0o600);
    const segment = { number, name, firstSeq, lastSeq: firstSeq, bytes: 0, fileBytes: 0 };
    segments.push(segment);
    return segment;
  };

  const dropOld = (): void => {
    while (tail.length > 1 && tailBytes - (tail[0]?.bytes ?? 0) >= Math.max(tailCapBytes, followerBytes)) {
      const oldest = tail.shift();
      if (!oldest) return;
      tailBytes -= oldest.bytes;
      rmSync(join(folder, oldest.name), { force: true });
    }
  };

  const writeAll = (pieces: readonly Buffer[]): void => {
    if (file === null || pieces.length === 0) return;
    let left = pieces.reduce((sum, piece) => sum + piece.length, 0);
    let rest = [...pieces];
    while (left > 0) {
      let wrote = writevSync(file, rest.slice(0, 1024));
      left -= wrote;
      if (left === 0) return;
      while (wrote > 0 && (rest[0]?.length ?? 0) <= wrote) wrote -= rest.shift()?.length ?? 0;
      if (wrote > 0) rest = [rest[0]?.subarray(wrote) ?? Buffer.alloc(0), ...rest.slice(1)];
    }
  };

  const append = (entries: readonly LogEntry[]): void => {
    let pieces: Buffer[] = [];
    for (const entry of entries) {
      if (entry.kind !== "output") continue;
      // A piece that is held back as a whole says so; one that says nothing new need not stand here.
      if (entry.bytes.length === 0 && (!entry.redaction || isDeepStrictEqual(entry.redaction, lastPoint))) continue;
      if (isHead && headBytes + entry.bytes.length > headCapBytes) isHead = false;
      const segments = isHead ? head : tail;
      let segment = segments.at(-1);
      if (!segment || segment.bytes >= segmentBytes) {
        writeAll(pieces);
        pieces = [];
        segment = roll(segments, entry.seq);
      }
      const record = encodeRecord(entry);
      pieces.push(...record);
      segment.bytes += entry.bytes.length;
      segment.fileBytes += record[0].length + entry.bytes.length;
      lastPoint = entry.redaction ?? null;
      segment.lastSeq = entry.seq;
      writtenBytes += entry.bytes.length;
      if (isHead) headBytes += entry.bytes.length;
      else tailBytes += entry.bytes.length;
    }
    writeAll(pieces);
    dropOld();
  };

  /** Tail records that are kept in the end: the last ones that fit, and the number of the first of them. */
  const keptTailFrom = (): { readonly seq: number; readonly bytes: number } => {
    let kept = 0;
    let seq = Number.POSITIVE_INFINITY;
    for (const segment of tail.toReversed()) {
      if (kept + segment.bytes <= tailCapBytes) {
        kept += segment.bytes;
        seq = segment.firstSeq;
        continue;
      }
      for (const entry of read(segment).toReversed()) {
        if (kept + entry.bytes.length > tailCapBytes) break;
        kept += entry.bytes.length;
        seq = entry.seq;
      }
      break;
    }
    return { seq, bytes: kept };
  };

  let readBuffer = Buffer.alloc(0);
  /** The records of a segment, good until the next is read. */
  const read = (segment: Segment): ReturnType<typeof decodeRecords>["entries"] => {
    if (readBuffer.length < segment.fileBytes) readBuffer = Buffer.allocUnsafeSlow(segment.fileBytes);
    const source = openSync(join(folder, segment.name), "r");
    try {
      let length = 0;
      for (let got = -1; got !== 0 && length < segment.fileBytes; length += got)
        got = readSync(source, readBuffer, length, segment.fileBytes - length, length);
      return decodeRecords(readBuffer.subarray(0, length)).entries;
    } finally {
      closeSync(source);
    }
  };

  /** What another process wrote: each segment is counted as it was counted then. */
  const goOn = (): void => {
    const names = (ifThere(() => readdirSync(folder)) ?? []).filter((name) => name.endsWith(".seg"));
    for (const name of names.sort()) {
      const path = join(folder, name);
      const { entries, usedBytes } = decodeRecords(readFileSync(path));
      // A record that was cut short was never acknowledged: it comes again.
      truncateSync(path, usedBytes);
      const [before, first] = [Number(name.split(".")[1]), entries[0]];
      const at = Number.parseInt(name, 10);
      // A hole in the numbers is what the tail has dropped.
      if (at !== number + 1 || (first && headBytes + first.bytes.length > headCapBytes)) isHead = false;
      number = at;
      if (first === undefined) {
        rmSync(path);
        number -= 1;
        continue;
      }
      const bytes = entries.reduce((sum, entry) => sum + entry.bytes.length, 0);
      const lastSeq = entries.at(-1)?.seq ?? first.seq;
      lastPoint = entries.at(-1)?.redaction ?? null;
      (isHead ? head : tail).push({ number, name, firstSeq: first.seq, lastSeq, bytes, fileBytes: usedBytes });
      if (isHead) headBytes += bytes;
      else tailBytes += bytes;
      writtenBytes = before + bytes;
    }
    const last = tail.at(-1) ?? head.at(-1);
    if (last) file = openSync(join(folder, last.name), "a");
  };
  try {
    if (!isNew) goOn();
  } catch (cause) {
    throw diskError(folder, cause);
  }

  return {
    redactionPoint: () => lastPoint,
    lastSeq: () => (tail.at(-1) ?? head.at(-1))?.lastSeq ?? 0,
    append(entries) {
      try {
        append(entries);
      } catch (cause) {
        throw diskError(folder, cause);
      }
    },
    *entries() {
      for (const segment of head) yield* read(segment);
      const from = keptTailFrom();
      const lostBytes = writtenBytes - headBytes - from.bytes;
      if (lostBytes > 0) {
        const lastHead = head.at(-1)?.lastSeq ?? 0;
        const to = Number.isFinite(from.seq) ? from.seq - 1 : (tail.at(-1)?.lastSeq ?? lastHead);
        yield { kind: "gap", from: lastHead + 1, to, bytes: lostBytes };
      }
      for (const segment of tail) {
        if (segment.lastSeq < from.seq) continue;
        for (const entry of read(segment)) if (entry.seq >= from.seq) yield entry;
      }
    },
    totals: () => ({ writtenBytes, keptBytes: headBytes + keptTailFrom().bytes }),
    async [Symbol.asyncDispose]() {
      if (file !== null) closeSync(file);
      file = null;
      tail = [];
    },
  };
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Whoever had the journal before made it.
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

function diskError(folder: string, cause: unknown): ExecutorError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  return new ExecutorError("internal", `journal ${folder}: cannot be written (${code})`, {
    cause,
    hint: "free space or choose another folder with SANDBOX_ROOT",
  });
}
