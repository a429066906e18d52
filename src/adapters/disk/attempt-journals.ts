import { join } from "node:path";
import type { Attempt } from "../../model/attempt.ts";
import type { AttemptJournal, Succession } from "../../ports/attempt-journal.ts";
import type { Scratch } from "../../ports/scratch.ts";
import { fileJournal } from "./file-journal.ts";
import { readSuccession, successionFile } from "./succession-file.ts";

/** Journals in attempts' scratch folders, with what a successor must know beside them. */
export interface AttemptJournals {
  openJournal(attempt: Attempt, capBytes: number): Promise<AttemptJournal>;
  reopenJournal(
    attempt: Attempt,
    sandboxId: string,
    capBytes: number,
  ): Promise<{ readonly journal: AttemptJournal; readonly succession: Succession } | null>;
}

export function attemptJournals(scratch: Scratch): AttemptJournals {
  return {
    async openJournal(attempt, capBytes) {
      return (await opened(scratch, await scratch.make(attempt), capBytes, true)).journal;
    },
    async reopenJournal(attempt, sandboxId, capBytes) {
      const folder = await scratch.take(attempt);
      if (folder === null) return null;
      const found = readSuccession(folder);
      const { journal, lastSeq } = await opened(scratch, folder, capBytes, false);
      if (found?.sandboxId === sandboxId)
        return { journal, succession: { ...found, lastSeq: Math.max(found.lastSeq, lastSeq) } };
      await journal[Symbol.asyncDispose]();
      return null;
    },
  };
}

async function opened(
  scratch: Scratch,
  folder: string,
  capBytes: number,
  isNew: boolean,
): Promise<{ readonly journal: AttemptJournal; readonly lastSeq: number }> {
  let isLeft = false;
  await using made = new AsyncDisposableStack();
  made.defer(async () => {
    if (!isLeft) await scratch.remove(folder, new AbortController().signal);
  });
  const succession = made.use(successionFile(folder, isNew));
  const journal = made.use(await fileJournal(join(folder, "journal"), capBytes, isNew));
  const held = made.move();
  return {
    lastSeq: journal.lastSeq(),
    journal: {
      append: journal.append,
      entries: journal.entries,
      totals: journal.totals,
      redactionPoint: journal.redactionPoint,
      note: succession.write,
      passed: succession.passed,
      leave(onPurpose) {
        isLeft = true;
        if (onPurpose) succession.handOver();
      },
      [Symbol.asyncDispose]: () => held.disposeAsync(),
    },
  };
}
