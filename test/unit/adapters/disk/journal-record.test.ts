import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fileJournal } from "../../../../src/adapters/disk/file-journal.ts";
import { decodeRecords, encodeRecord } from "../../../../src/adapters/disk/journal-record.ts";
import type { RedactionPoint } from "../../../../src/model/redaction-point.ts";
import type { LogEntry } from "../../../../src/ports/log-sink.ts";

type Output = Extract<LogEntry, { kind: "output" }>;

const count = fc.nat(2 ** 31 - 1);
const heldBack = fc.record({ pattern: count, bytes: count, coveredBytes: count });
const point: fc.Arbitrary<RedactionPoint> = fc.record({
  formsVersion: count,
  markCount: count,
  stdout: heldBack,
  stderr: heldBack,
});
const entry: fc.Arbitrary<Output> = fc
  .record({
    kind: fc.constant("output" as const),
    seq: fc.nat(Number.MAX_SAFE_INTEGER),
    atMs: fc.nat(4_102_444_800_000),
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    bytes: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  })
  .chain((plain) =>
    fc.option(point, { nil: null }).map((redaction) => ({ ...plain, ...(redaction && { redaction }) })),
  );

test("records with and without a place come back as they were written, and half of one is left", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), fc.nat(400), (entries, cut) => {
      const bytes = Buffer.concat(entries.flatMap((each) => [...encodeRecord(each)]));
      expect(decodeRecords(bytes)).toEqual({ entries, usedBytes: bytes.length });
      const half = decodeRecords(bytes.subarray(0, Math.min(cut, bytes.length)));
      expect(half.entries).toEqual(entries.slice(0, half.entries.length));
      expect(half.usedBytes).toBe(encodedBytes(half.entries));
    }),
    { seed: 57, numRuns: 400 },
  );
});

const encodedBytes = (entries: readonly Output[]): number =>
  entries.flatMap((each) => [...encodeRecord(each)]).reduce((sum, { length }) => sum + length, 0);

test("a journal that is gone on with knows the place behind the last piece, an empty piece's too", async () => {
  const folder = mkdtempSync(join(tmpdir(), "journal-"));
  try {
    const place = (markCount: number, bytes: number): RedactionPoint => ({
      ...{ formsVersion: 1, markCount, stderr: { pattern: 0, bytes: 0, coveredBytes: 0 } },
      stdout: { pattern: 5, bytes, coveredBytes: 0 },
    });
    const piece = (seq: number, text: string, redaction?: RedactionPoint): LogEntry => ({
      ...{ kind: "output", seq, atMs: seq, stream: "stdout", bytes: Buffer.from(text) },
      ...(redaction && { redaction }),
    });
    {
      await using journal = await fileJournal(folder, 1024 * 1024);
      expect(journal.redactionPoint()).toBeNull();
      journal.append([piece(1, "a", place(0, 3))]);
      journal.append([piece(2, "", place(0, 9))]);
    }
    {
      await using journal = await fileJournal(folder, 1024 * 1024);
      expect([journal.redactionPoint(), journal.lastSeq()]).toEqual([place(0, 9), 2]);
      journal.append([piece(3, "b", place(1, 0))]);
    }
    await using journal = await fileJournal(folder, 1024 * 1024);
    expect([journal.redactionPoint(), journal.lastSeq()]).toEqual([place(1, 0), 3]);
    const kept = [...journal.entries()].map((each) =>
      each.kind === "output" ? `${each.seq} ${each.bytes}` : each.kind,
    );
    expect(kept.filter((each) => !each.endsWith(" "))).toEqual(["1 a", "3 b"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
