import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type AttemptJournals, attemptJournals } from "../../../../src/adapters/disk/attempt-journals.ts";
import { diskScratch } from "../../../../src/adapters/disk/scratch.ts";
import type { AttemptJournal, Succession } from "../../../../src/ports/attempt-journal.ts";
import { anOwner } from "../../../support/samples.ts";

const attempt = { key: { tenantId: "acme", taskId: "t-1" }, number: 1, owner: anOwner() };
const sandboxId = "f00d";
const capBytes = 1024 * 1024;
const noted: Succession = {
  ...{ sandboxId, token: "secret", lastSeq: 0, maker: anOwner(), runtime: "runc" },
  image: { name: "shell", id: "sha256:0" },
  ...{ deadlineAt: 2, leasedAt: 1, deaths: 0, started: null },
};

let root = "";
let journals: AttemptJournals;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "journals-"));
  journals = attemptJournals(await diskScratch(root));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

/** The holder's end: what it had is left as it stands. */
async function left(journal: AttemptJournal, onPurpose: boolean): Promise<void> {
  journal.leave(onPurpose);
  await journal[Symbol.asyncDispose]();
}

async function takenUp(): Promise<{ readonly journal: AttemptJournal; readonly deaths: number }> {
  const found = await journals.reopenJournal(attempt, sandboxId, capBytes);
  if (found === null) throw new Error("there is nothing to take up");
  return { journal: found.journal, deaths: found.succession.deaths };
}

async function begun(): Promise<AttemptJournal> {
  const journal = await journals.openJournal(attempt, capBytes);
  journal.note(noted);
  return journal;
}

test("each holder that died is counted, and one that handed over is not", async () => {
  await left(await begun(), false);
  const second = await takenUp();
  expect(second.deaths).toBe(1);
  second.journal.note({ ...noted, deaths: second.deaths });
  await left(second.journal, true);
  const third = await takenUp();
  expect(third.deaths).toBe(1);
  third.journal.note({ ...noted, deaths: third.deaths });
  await left(third.journal, false);
  const fourth = await takenUp();
  expect(fourth.deaths).toBe(2);
  await fourth.journal[Symbol.asyncDispose]();
  expect(await readdir(root)).toEqual([]);
});

test("one who looked and left it to another counts nothing", async () => {
  await left(await begun(), false);
  for (const _look of [1, 2, 3]) {
    const { journal, deaths } = await takenUp();
    expect(deaths).toBe(1);
    await left(journal, false);
  }
});

test("what its holder was writing when it died does not count, and what is noted next does", async () => {
  const journal = await begun();
  journal.passed(7);
  await left(journal, false);
  const [folder = ""] = await readdir(root);
  await appendFile(
    join(root, folder, "succession"),
    JSON.stringify({ ...noted, deadlineAt: 99, token: "x".repeat(500) }).slice(0, -1),
  );
  const second = await journals.reopenJournal(attempt, sandboxId, capBytes);
  expect(second?.succession).toEqual({ ...noted, deaths: 1, lastSeq: 7 });
  second?.journal.note({ ...noted, deadlineAt: 3, deaths: 1 });
  if (second) await left(second.journal, true);
  const third = await journals.reopenJournal(attempt, sandboxId, capBytes);
  expect(third?.succession).toEqual({ ...noted, deadlineAt: 3, deaths: 1, lastSeq: 7 });
  await third?.journal[Symbol.asyncDispose]();
});
