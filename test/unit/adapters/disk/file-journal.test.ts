import { createHash, randomBytes } from "node:crypto";
import { appendFile, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileJournal } from "../../../../src/adapters/disk/file-journal.ts";
import { followJournal } from "../../../../src/adapters/disk/follow-journal.ts";
import type { LogEntry } from "../../../../src/ports/log-sink.ts";
import { never } from "../../../support/samples.ts";

const mb = 1024 * 1024;
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "journal-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const output = (seq: number, bytes: Buffer, stream: "stdout" | "stderr" = "stdout"): LogEntry => ({
  kind: "output",
  seq,
  atMs: 1000 + seq,
  stream,
  bytes,
});

/** Number, stream and content of each entry; a whole buffer is slow to compare and worse to print. */
const digest = (entries: Iterable<LogEntry>) =>
  [...entries].map((entry) =>
    entry.kind === "gap" ? entry : [entry.seq, entry.stream, createHash("sha256").update(entry.bytes).digest("hex")],
  );

const bytesOf = (entries: Iterable<LogEntry>): number =>
  [...entries].reduce((sum, entry) => sum + (entry.kind === "output" ? entry.bytes.length : 0), 0);

describe("a journal", () => {
  test("gives back what was written, in order, stream by stream", async () => {
    await using journal = await fileJournal(join(folder, "j"), mb);
    const written = [output(2, Buffer.from("a")), output(3, Buffer.from("b"), "stderr"), output(7, randomBytes(5000))];
    journal.append(written.slice(0, 1));
    journal.append(written.slice(1));
    expect(digest(journal.entries())).toEqual(digest(written));
    expect(journal.totals()).toEqual({ writtenBytes: 5002, keptBytes: 5002 });
  });

  test.each([1, 7, 100, 640])("left after %i entries, it is gone on with as if nothing had been", async (left) => {
    const write = (journal: { append(entries: readonly LogEntry[]): void }, from: number, to: number): void => {
      for (let seq = from; seq <= to; seq += 1)
        journal.append([output(seq, Buffer.alloc(65_536, seq % 251), seq % 3 === 0 ? "stderr" : "stdout")]);
    };
    await using whole = await fileJournal(join(folder, "whole"), 2 * mb);
    write(whole, 1, 700);
    {
      await using before = await fileJournal(join(folder, "j"), 2 * mb);
      write(before, 1, left);
    }
    // A record that was cut short.
    const last = (await readdir(join(folder, "j"))).sort().at(-1) ?? "";
    await appendFile(join(folder, "j", last), Buffer.from("010000ffff", "hex"));
    await using journal = await fileJournal(join(folder, "j"), 2 * mb);
    expect(journal.lastSeq()).toBe(left);
    write(journal, left + 1, 700);
    expect(digest(journal.entries())).toEqual(digest(whole.entries()));
    expect(journal.totals()).toEqual(whole.totals());
    expect(await readdir(join(folder, "j"))).toEqual(await readdir(join(folder, "whole")));
  });

  test("exactly at the cap keeps everything", async () => {
    await using journal = await fileJournal(join(folder, "j"), 4 * mb);
    for (let seq = 1; seq <= 64; seq += 1) journal.append([output(seq, Buffer.alloc(65_536, seq))]);
    expect([...journal.entries()].every((entry) => entry.kind === "output")).toBe(true);
    expect(journal.totals()).toEqual({ writtenBytes: 4 * mb, keptBytes: 4 * mb });
  });

  test("over the cap keeps head and tail, and a gap with the exact bytes and numbers between", async () => {
    await using journal = await fileJournal(join(folder, "j"), 2 * mb);
    const total = 640;
    for (let seq = 1; seq <= total; seq += 1) journal.append([output(seq, Buffer.alloc(65_536, seq % 251))]);
    const entries = [...journal.entries()];
    const gaps = entries.filter((entry) => entry.kind === "gap");
    expect(gaps).toHaveLength(1);
    const [gap] = gaps;
    expect(bytesOf(entries) + (gap?.kind === "gap" ? gap.bytes : 0)).toBe(total * 65_536);
    const at = entries.findIndex((entry) => entry.kind === "gap");
    const before = entries[at - 1];
    const after = entries[at + 1];
    expect(gap).toMatchObject({
      from: (before?.kind === "output" ? before.seq : 0) + 1,
      to: (after?.kind === "output" ? after.seq : 0) - 1,
    });
    expect(entries.at(-1)).toMatchObject({ seq: total });
    expect(journal.totals().keptBytes).toBe(bytesOf(entries));
    expect(bytesOf(entries)).toBeLessThanOrEqual(2 * mb);
  });

  test("keeps on disk no more than the cap and what a follower may lag", async () => {
    await using journal = await fileJournal(join(folder, "j"), 2 * mb);
    for (let seq = 1; seq <= 1000; seq += 1) journal.append([output(seq, Buffer.alloc(65_536))]);
    let onDisk = 0;
    for (const name of await readdir(join(folder, "j"))) onDisk += (await stat(join(folder, "j", name))).size;
    expect(onDisk).toBeLessThan(2 * mb + 10 * mb);
  });

  test("a folder that cannot be made is one clear error", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(fileJournal(join(folder, "file", "j"), mb)).rejects.toThrow(
      /journal .*: cannot be written \(ENOTDIR\)/,
    );
  });
});

describe("following a journal", () => {
  test("sees every byte while it is written, and ends with the writer", async () => {
    const journal = await fileJournal(join(folder, "j"), 8 * mb);
    let over = false;
    const seen: LogEntry[] = [];
    const following = (async () => {
      for await (const entries of followJournal(join(folder, "j"), 0, async () => over, never())) seen.push(...entries);
    })();
    const written: LogEntry[] = [];
    for (let seq = 1; seq <= 100; seq += 1) {
      const entry = output(seq, randomBytes(30_000), seq % 3 === 0 ? "stderr" : "stdout");
      written.push(entry);
      journal.append([entry]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    over = true;
    await following;
    expect(digest(seen)).toEqual(digest(written));
    await journal[Symbol.asyncDispose]();
  });

  test("goes on after the last entry seen", async () => {
    await using journal = await fileJournal(join(folder, "j"), mb);
    journal.append([1, 2, 3, 4].map((seq) => output(seq, Buffer.from(String(seq)))));
    const seen: LogEntry[] = [];
    for await (const entries of followJournal(join(folder, "j"), 2, async () => true, never())) seen.push(...entries);
    expect(seen.map((entry) => (entry.kind === "output" ? entry.seq : 0))).toEqual([3, 4]);
  });

  test("a folder that is not there is the end", async () => {
    const seen: unknown[] = [];
    for await (const entries of followJournal(join(folder, "none"), 0, async () => true, never())) seen.push(entries);
    expect(seen).toEqual([]);
  });
});
