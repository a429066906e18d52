import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Succession } from "../../ports/attempt-journal.ts";
import { ifThere, translated } from "./record-file.ts";

/** What a successor must know, in the folder of its attempt. The file is this user's alone: the token opens the sandbox. */
export interface SuccessionFile extends Disposable {
  write(succession: Succession): void;
  passed(seq: number): void;
  /** The next to read it is told of no death. */
  handOver(): void;
}

/**
 * One file, made once and only written to in place: to make a file, and to put one in another's place, waits for the disk where a write
 * does not. First the last number that was passed, always as long; then a line for each note, of which the last whole one counts.
 */
export const successionName = "succession";
const digits = 16;
const headBytes = digits + 1;
/** A line like a note: who wrote the one before let go of it on purpose. */
const handedOver = "handed over";

/**
 * @param isNew the folder was made for this: the file is empty, if it is there at all, and whole from its first note on.
 * @throws ExecutorError internal, when the disk is full or not writable.
 */
export function successionFile(folder: string, isNew = false): SuccessionFile {
  const path = join(folder, successionName);
  const file = translated("make", path, () => openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
  let isOpen = true;
  let last = 0;
  let endsAt = 0;
  const close = (): void => {
    if (isOpen) closeSync(file);
    isOpen = false;
  };
  const append = (line: string): void =>
    translated("write", path, () => {
      const bytes = Buffer.from(endsAt === 0 ? `${head(last)}${line}\n` : `${line}\n`);
      writeAll(file, bytes, endsAt);
      endsAt += bytes.length;
    });
  try {
    if (!isNew) endsAt = translated("write", path, () => endOfNotes(file));
  } catch (error) {
    close();
    throw error;
  }
  return {
    write: (succession) => append(JSON.stringify(succession)),
    handOver: () => append(handedOver),
    passed(seq) {
      if (seq <= last) return;
      last = seq;
      // One write of one length in one place: a process that dies leaves the old number or the new one.
      translated("write", path, () => writeSync(file, head(seq), 0));
    },
    [Symbol.dispose]: close,
  };
}

const head = (seq: number): string => `${String(seq).padStart(digits, "0")}\n`;

/** Of a new one, or one that another process left: what it was writing when it died is written over. */
function endOfNotes(file: number): number {
  const there = Buffer.alloc(fstatSync(file).size);
  readSync(file, there, 0, there.length, 0);
  if (there.length < headBytes) writeAll(file, Buffer.from(head(0)), 0);
  return Math.max(headBytes, there.lastIndexOf("\n") + 1);
}

function writeAll(file: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done);
}

/** Null where nothing was noted, or nothing that can be read. `lastSeq` counts what was passed, and no output; `deaths` the latest, too. */
export function readSuccession(folder: string): Succession | null {
  try {
    const text = ifThere(() => readFileSync(join(folder, successionName), "utf8"));
    if (text === null) return null;
    // What stands after the last end of line was cut short.
    const lines = text.slice(headBytes, text.lastIndexOf("\n")).split("\n");
    const isHandedOver = lines.at(-1) === handedOver;
    const note = JSON.parse(lines.findLast((line) => line !== handedOver) ?? "") as Succession;
    const passed = Number(text.slice(0, digits)) || 0;
    const deaths = (note.deaths ?? 0) + (isHandedOver ? 0 : 1);
    return { ...note, deaths, lastSeq: Math.max(note.lastSeq, passed) };
  } catch {
    // Another version's: the attempt cannot be taken up, and is lost like one without a note.
    return null;
  }
}
