import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Succession } from "../../ports/attempt-journal.ts";
import { ifThere, translated } from "./record-file.ts";

/** What a successor must know, in the folder of its attempt. Both files are this user's alone: the token opens the sandbox. */
export interface SuccessionFile extends Disposable {
  write(succession: Succession): void;
  passed(seq: number): void;
  /** The next to read it is told of no death. */
  handOver(): void;
}

const noteName = "succession.json";
const passedName = "passed";
/** Beside the note: who wrote it let go of it on purpose. */
const handedOverName = "handed-over";
const digits = 16;

export function successionFile(folder: string): SuccessionFile {
  let file: number | null = null;
  let last = 0;
  return {
    write(succession) {
      const path = join(folder, noteName);
      translated("write", path, () => {
        writeFileSync(`${path}.new`, JSON.stringify(succession), { mode: 0o600 });
        renameSync(`${path}.new`, path);
        rmSync(join(folder, handedOverName), { force: true });
      });
    },
    handOver() {
      const path = join(folder, handedOverName);
      translated("write", path, () => writeFileSync(path, "", { mode: 0o600 }));
    },
    passed(seq) {
      if (seq <= last) return;
      last = seq;
      const path = join(folder, passedName);
      translated("write", path, () => {
        file ??= openSync(path, "w", 0o600);
        // One write of one length in one place: a process that dies leaves the old number or the new one.
        writeSync(file, String(seq).padStart(digits, "0"), 0);
      });
    },
    [Symbol.dispose]() {
      if (file !== null) closeSync(file);
      file = null;
    },
  };
}

/** Null where nothing was noted, or nothing that can be read. `lastSeq` counts what was passed, and no output; `deaths` the latest, too. */
export function readSuccession(folder: string): Succession | null {
  try {
    const text = ifThere(() => readFileSync(join(folder, noteName), "utf8"));
    if (text === null) return null;
    const passed = ifThere(() => readFileSync(join(folder, passedName), "latin1")) ?? "";
    const note = JSON.parse(text) as Succession;
    const died = existsSync(join(folder, handedOverName)) ? 0 : 1;
    return { ...note, deaths: (note.deaths ?? 0) + died, lastSeq: Math.max(note.lastSeq, Number(passed) || 0) };
  } catch {
    // Cut short, or another version's: the attempt cannot be taken up, and is lost like one without a note.
    return null;
  }
}
