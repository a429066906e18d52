import { describe, expect, test } from "vitest";
import type { Attempt } from "../../src/model/attempt.ts";
import { countsOf, type SpoolEntry } from "../../src/model/spool-entry.ts";
import type { Spool, Spooled } from "../../src/ports/spool.ts";
import { anOwner, aTask, never } from "../support/samples.ts";

/** Two openings of one spool, as two processes would have them. */
export type OpenSpools = (
  maxIntakeBytes: number,
) => Promise<AsyncDisposable & { readonly one: Spool; readonly other: Spool }>;

const roomy = 1024 * 1024;

export const anAttempt = (taskId: string, number = 1): Attempt => ({
  key: { tenantId: "acme", taskId },
  number,
  owner: anOwner(7),
});

export const anIntake = (task_id: string, hash = "a"): SpoolEntry => ({
  kind: "intake",
  task: aTask({ task_id, stdin: "ünï\0code \u2028 and\nlines" }),
  requestSha256: hash.repeat(64),
  askedAt: 1_767_225_600_000,
});

const finish = (taskId: string, bytes: Buffer = Buffer.from("{}")): SpoolEntry => ({
  kind: "finish",
  attempt: anAttempt(taskId),
  resultBytes: bytes,
});

const entriesOf = (found: readonly Spooled[]) => found.map(({ entry }) => entry);

const aCancel = (taskId: string): SpoolEntry => ({
  kind: "cancel",
  key: { tenantId: "acme", taskId },
  stubTtlMs: 900_000,
});

const aRefusal = (taskId: string, offset: number): SpoolEntry => ({
  kind: "refusal",
  key: { tenantId: "acme", taskId },
  resultBytes: Buffer.from('{"reason":"validation"}'),
  letter: {
    headers: { "dlq-reason": "conflict", "dlq-source": `tools/0/${offset}` },
    value: Buffer.from([0xff, 0, 1]),
  },
});

/** What every spool promises, whatever it is made of. */
export function spoolConformance(name: string, open: OpenSpools): void {
  describe(`${name} is a Spool`, () => {
    test("gives back what was put, byte for byte and in its order, to whoever opens it", async () => {
      await using spools = await open(roomy);
      const everyByte = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
      const ends: readonly SpoolEntry[] = [
        finish("t-2", everyByte),
        { kind: "release", attempt: anAttempt("t-3", 2), strike: true },
        finish("t-1"),
      ];
      const intakes = [
        anIntake("t-5"),
        { ...anIntake("t-4"), askedAt: null } as SpoolEntry,
        aCancel("t-5"),
        aRefusal("t-6", 17),
      ];
      const put = intakes.flatMap((intake, index) => [ends[index], intake]).filter((entry) => entry !== undefined);
      for (const [index, entry] of put.entries())
        expect(await (index % 2 === 0 ? spools.one : spools.other).put(entry, never())).toBe("kept");
      for (const spool of [spools.one, spools.other]) {
        expect(entriesOf(await spool.read("ends", null, 100, never()))).toEqual(ends);
        expect(entriesOf(await spool.read("intakes", null, 100, never()))).toEqual(intakes);
      }
    });

    test("is read page by page, and reading takes nothing away", async () => {
      await using spools = await open(roomy);
      const ids = Array.from({ length: 25 }, (_, index) => `t-${index}`);
      for (const id of ids) await spools.one.put(finish(id), never());
      const read: string[] = [];
      for (let after: string | null = null; ; ) {
        const page = await spools.other.read("ends", after, 10, never());
        if (page.length === 0) break;
        after = page.at(-1)?.id ?? null;
        read.push(...page.map(({ entry }) => (entry?.kind === "finish" ? entry.attempt.key.taskId : "")));
      }
      expect(read).toEqual(ids);
      expect((await spools.one.totals(never())).counts.finish).toBe(25);
    });

    test("what was removed is gone, twice is once, and the others stay", async () => {
      await using spools = await open(roomy);
      for (const id of ["t-1", "t-2", "t-3"]) await spools.one.put(finish(id), never());
      const [first, second] = await spools.one.read("ends", null, 2, never());
      const ids = [first?.id ?? "", second?.id ?? ""];
      await spools.other.remove(ids, never());
      await spools.one.remove(ids, never());
      await spools.one.remove([], never());
      expect(entriesOf(await spools.one.read("ends", null, 10, never()))).toEqual([finish("t-3")]);
      expect((await spools.one.totals(never())).counts).toEqual(countsOf({ intake: 0, finish: 1, release: 0 }));
    });

    test("one request of a task waits at a time: the same again is known, another is a conflict, until it is gone", async () => {
      await using spools = await open(roomy);
      expect(await spools.one.put(anIntake("t-1", "a"), never())).toBe("kept");
      expect(await spools.other.put(anIntake("t-1", "a"), never())).toBe("known");
      expect(await spools.other.put(anIntake("t-1", "b"), never())).toBe("conflict");
      expect(await spools.other.put(anIntake("t-2", "b"), never())).toBe("kept");
      const [first] = await spools.one.read("intakes", null, 10, never());
      await spools.one.remove([first?.id ?? ""], never());
      expect(await spools.other.put(anIntake("t-1", "b"), never())).toBe("kept");
    });

    test("one cancel of a task waits at a time, beside its call, and one refusal of each message", async () => {
      await using spools = await open(roomy);
      const entries = [anIntake("t-1"), aCancel("t-1"), aRefusal("t-1", 1), aRefusal("t-1", 2), aCancel("t-2")];
      for (const entry of entries) expect(await spools.one.put(entry, never())).toBe("kept");
      for (const entry of entries) expect(await spools.other.put(entry, never())).toBe("known");
      expect(entriesOf(await spools.one.read("intakes", null, 10, never()))).toEqual(entries);
      expect((await spools.one.totals(never())).counts).toEqual(countsOf({ intake: 1, cancel: 2, refusal: 2 }));
      const ids = (await spools.one.read("intakes", null, 10, never())).map(({ id }) => id);
      await spools.one.remove(ids, never());
      expect((await spools.one.totals(never())).counts).toEqual(countsOf({}));
      for (const entry of entries) expect(await spools.other.put(entry, never())).toBe("kept");
    });

    test("finds what ends a task's attempt, otherwise its call, for as long as it waits", async () => {
      await using spools = await open(roomy);
      const key = { tenantId: "acme", taskId: "t-1" };
      expect(await spools.one.find(key, never())).toBeNull();
      const before = Date.now();
      for (const entry of [aCancel("t-1"), aRefusal("t-1", 1), anIntake("t-2"), finish("t-3")])
        await spools.one.put(entry, never());
      expect(await spools.one.find(key, never())).toBeNull();
      await spools.one.put(anIntake("t-1"), never());
      const call = await spools.other.find(key, never());
      expect(call?.entry).toEqual(anIntake("t-1"));
      // Its clock may be another machine's.
      expect(Math.abs((call?.putAt ?? 0) - before)).toBeLessThan(60_000);
      await spools.one.put({ kind: "release", attempt: anAttempt("t-1", 1), strike: false }, never());
      await spools.one.put(finish("t-1"), never());
      expect((await spools.other.find(key, never()))?.entry).toEqual(finish("t-1"));
      const ends = await spools.one.read("ends", null, 10, never());
      await spools.one.remove(
        ends.map(({ id }) => id),
        never(),
      );
      expect((await spools.other.find(key, never()))?.entry).toEqual(anIntake("t-1"));
    });

    test("what is asked from outside has one room together", async () => {
      await using spools = await open(1000);
      await spools.one.put({ ...aRefusal("t-1", 1), resultBytes: Buffer.alloc(600) } as SpoolEntry, never());
      await expect(spools.other.put(anIntake("t-2"), never())).rejects.toMatchObject({ isAway: true });
      await expect(spools.other.put(aRefusal("t-3", 2), never())).rejects.toMatchObject({ isAway: true });
      const [first] = await spools.one.read("intakes", null, 1, never());
      await spools.one.remove([first?.id ?? ""], never());
      expect(await spools.other.put(aCancel("t-4"), never())).toBe("kept");
    });

    test("of 20 equal requests at once one is kept", async () => {
      await using spools = await open(roomy);
      // A spool of one machine has one process that takes calls in.
      const answers = await Promise.all(Array.from({ length: 20 }, () => spools.one.put(anIntake("t-1"), never())));
      expect(answers.filter((answer) => answer === "kept")).toHaveLength(1);
      expect((await spools.one.totals(never())).counts.intake).toBe(1);
    });

    test("requests beyond its room are refused with why, ends are not, and room comes back", async () => {
      await using spools = await open(2000);
      await spools.one.put(anIntake("t-1"), never());
      const refused = spools.other.put(
        { ...anIntake("t-2"), task: aTask({ task_id: "t-2", stdin: "x".repeat(2000) }) } as SpoolEntry,
        never(),
      );
      await expect(refused).rejects.toMatchObject({
        code: "internal",
        isAway: true,
        message: expect.stringContaining("it is full (2000 bytes of requests wait)"),
        hint: expect.stringContaining("TOOL_EXECUTOR_BUFFER_MAX_MB"),
      });
      expect(await spools.one.put(finish("t-3", Buffer.alloc(10_000)), never())).toBe("kept");
      const [first] = await spools.one.read("intakes", null, 1, never());
      await spools.one.remove([first?.id ?? ""], never());
      expect(await spools.one.put(anIntake("t-4"), never())).toBe("kept");
    });

    test("tells how many wait, by kind, and since when", async () => {
      await using spools = await open(roomy);
      expect(await spools.one.totals(never())).toEqual({
        counts: countsOf({ intake: 0, finish: 0, release: 0 }),
        oldestAt: null,
      });
      const before = Date.now();
      await spools.one.put(anIntake("t-1"), never());
      await spools.one.put(finish("t-2"), never());
      await spools.one.put(finish("t-3"), never());
      const { counts, oldestAt } = await spools.other.totals(never());
      expect(counts).toEqual(countsOf({ intake: 1, finish: 2, release: 0 }));
      // Its clock may be another machine's.
      expect(Math.abs((oldestAt ?? 0) - before)).toBeLessThan(5000);
    });

    test("one is at it at a time, and it is free again however the work ended", async () => {
      await using spools = await open(roomy);
      const during = await spools.one.exclusively(
        () => spools.other.exclusively(async () => "at the same time", never()),
        never(),
      );
      expect(during).toBeNull();
      const failed = spools.one.exclusively(async () => {
        throw new Error("work failed");
      }, never());
      await expect(failed).rejects.toThrow("work failed");
      expect(await spools.other.exclusively(async () => "afterwards", never())).toBe("afterwards");
    });

    test("the work's signal aborts with its caller's", async () => {
      await using spools = await open(roomy);
      const caller = new AbortController();
      const reason = await spools.one.exclusively(async (signal) => {
        caller.abort("enough");
        return signal.reason;
      }, caller.signal);
      expect(reason).toBe("enough");
    });
  });
}
