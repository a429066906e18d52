import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { diskSpool } from "../../../../src/adapters/disk/disk-spool.ts";
import { memoryTaskStore } from "../../../../src/adapters/memory/memory-task-store.ts";
import { type SpooledStore, spooledTaskStore } from "../../../../src/adapters/wrap/spooled-task-store.ts";
import type { Attempt } from "../../../../src/model/attempt.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import type { SpoolEntry } from "../../../../src/model/spool-entry.ts";
import type { Spool } from "../../../../src/ports/spool.ts";
import { encodeResult } from "../../../../src/schema/encode-result.ts";
import { type FaultyStore, faultyStore } from "../../../support/faulty-store.ts";
import { anOwner, aResult, aTask, handClock, never } from "../../../support/samples.ts";

const settleMs = 13_000;
const key = { tenantId: "acme", taskId: "t-1" };
const hash = "a".repeat(64);
const result = aResult();
const bytes = encodeResult(result);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "spooled-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Setup {
  readonly clock: ReturnType<typeof handClock>;
  readonly inner: FaultyStore;
  readonly first: Spool;
  readonly second: Spool;
  readonly spooled: SpooledStore;
  readonly kept: readonly SpoolEntry[];
  readonly changes: readonly string[];
  readonly troubles: readonly unknown[];
}

/** @param differences of the first spool, the one that calls wait in. */
async function setup(differences: Partial<Spool> = {}, withIntakes = true): Promise<Setup> {
  const clock = handClock();
  const inner = faultyStore(memoryTaskStore(clock));
  const open = (name: string) => diskSpool(join(folder, name), { maxIntakeBytes: 1_000_000, now: clock.now });
  const [first, second] = [{ ...(await open("first")), ...differences }, await open("second")];
  const [kept, changes, troubles]: [SpoolEntry[], string[], unknown[]] = [[], [], []];
  const spooled = spooledTaskStore(inner.store, {
    intakes: withIntakes ? first : null,
    ends: [first, second],
    clock,
    settleMs,
    onKept: (entry) => kept.push(entry),
    onChange: (presence) => changes.push(presence),
    onTrouble: (error) => troubles.push(error),
  });
  return { clock, inner, first, second, spooled, kept, changes, troubles };
}

async function leased({ store }: SpooledStore): Promise<Attempt> {
  await store.intake(aTask(), hash, never());
  const attempt = await store.leaseTask(key, anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  return attempt;
}

const broken: Partial<Spool> = {
  put: async () => {
    throw new ExecutorError("internal", "buffer redis r:6379/0: it is full (maxmemory)", { away: "buffer" });
  },
};

const entriesOf = async (spool: Spool) => [
  ...(await spool.read("ends", null, 100, never())).map(({ entry }) => entry),
  ...(await spool.read("intakes", null, 100, never())).map(({ entry }) => entry),
];

describe("a store that answers", () => {
  test("gets every write, and nothing is kept", async () => {
    const { spooled, kept, inner } = await setup();
    const attempt = await leased(spooled);
    expect(await spooled.store.starting(attempt, never())).toBe(true);
    expect(await spooled.store.finish(attempt, result, bytes, never())).toBe(true);
    expect((await inner.store.get(key, never()))?.state).toBe("FINISHED");
    expect(kept).toEqual([]);
    expect(spooled.isAway()).toBe(false);
  });

  test("has its refusals and its own faults passed on as they are", async () => {
    const { spooled, kept, inner } = await setup();
    const attempt = await leased(spooled);
    const zombie = { ...attempt, number: 7 };
    expect(await spooled.store.finish(zombie, result, bytes, never())).toBe(false);
    expect(await spooled.store.release(zombie, false, never())).toBe(false);
    expect(await spooled.store.collecting(attempt, never())).toBe(false);
    expect((await spooled.store.intake(aTask(), "b".repeat(64), never())).kind).toBe("conflict");
    Object.assign(inner.store, { finish: () => Promise.reject(new TypeError("a bug")) });
    await expect(spooled.store.finish(attempt, result, bytes, never())).rejects.toThrow(TypeError);
    expect(kept).toEqual([]);
  });
});

describe("while the store is away", () => {
  test("a call is kept and accepted; the same again is too, and another under its id is a conflict", async () => {
    const { spooled, inner, first, clock, kept } = await setup();
    inner.set("away");
    const intake = (sha256: string) => spooled.store.intake(aTask(), sha256, never());
    expect(await intake(hash)).toEqual({ kind: "accepted" });
    expect(await intake(hash)).toEqual({ kind: "accepted" });
    expect(await intake("b".repeat(64))).toEqual({ kind: "conflict" });
    const entry = { kind: "intake", task: aTask(), requestSha256: hash, askedAt: clock.now() };
    expect(await entriesOf(first)).toEqual([entry]);
    expect(kept).toEqual([entry]);
  });

  test("only the first call asks it, and says so of itself; those after it go straight to the spool", async () => {
    const { spooled, inner, first, changes } = await setup();
    inner.set("away");
    for (const task_id of ["t-1", "t-2", "t-3"]) await spooled.store.intake(aTask({ task_id }), hash, never());
    expect(inner.calls.filter((call) => call === "intake")).toHaveLength(1);
    const asked = (await entriesOf(first)).map((entry) => entry?.kind === "intake" && entry.askedAt !== null);
    expect(asked).toEqual([true, false, false]);
    expect(changes).toEqual(["away"]);
  });

  test("a call that has no spool, or finds it full, is refused with why", async () => {
    const without = await setup({}, false);
    without.inner.set("away");
    const refused = without.spooled.store.intake(aTask(), hash, never());
    await expect(refused).rejects.toMatchObject({ isAway: true, message: expect.stringContaining("task store") });
    const again = without.spooled.store.intake(aTask(), hash, never());
    await expect(again).rejects.toMatchObject({ isAway: true, message: expect.stringContaining("task store") });
    const full = await setup(broken);
    full.inner.set("away");
    await expect(full.spooled.store.intake(aTask(), hash, never())).rejects.toThrow("it is full");
    expect(full.troubles).toEqual([expect.objectContaining({ message: expect.stringContaining("it is full") })]);
    expect(await entriesOf(full.second)).toEqual([]);
  });

  test.each(["away", "deaf"] as const)("an end is kept and answered as done (%s)", async (fault) => {
    const { spooled, inner, first, second } = await setup();
    const attempt = await leased(spooled);
    inner.set(fault);
    expect(await spooled.store.finish(attempt, result, bytes, never())).toBe(true);
    expect(await spooled.store.release(attempt, true, never())).toBe(true);
    expect(await entriesOf(first)).toEqual([
      { kind: "finish", attempt, resultBytes: bytes },
      { kind: "release", attempt, strike: true },
    ]);
    expect(await entriesOf(second)).toEqual([]);
  });

  test("an end goes to the next spool where the first does not take it, and fails where none does", async () => {
    const { spooled, inner, second, troubles } = await setup(broken);
    const attempt = await leased(spooled);
    inner.set("away");
    expect(await spooled.store.finish(attempt, result, bytes, never())).toBe(true);
    expect(await entriesOf(second)).toEqual([{ kind: "finish", attempt, resultBytes: bytes }]);
    expect(troubles).toEqual([expect.objectContaining({ message: expect.stringContaining("it is full") })]);
    Object.assign(second, broken);
    await expect(spooled.store.release(attempt, false, never())).rejects.toMatchObject({ isAway: true });
  });

  test("nothing is begun, and what has run goes on to its end", async () => {
    const { spooled, inner } = await setup();
    const attempt = await leased(spooled);
    inner.set("away");
    await expect(spooled.store.starting(attempt, never())).rejects.toMatchObject({ isAway: true });
    await expect(spooled.store.running(attempt, "s", 0, never())).rejects.toMatchObject({ isAway: true });
    await expect(spooled.store.leaseNext(1, anOwner(), 10, never())).rejects.toMatchObject({ isAway: true });
    expect(await spooled.store.collecting(attempt, never())).toBe(true);
  });
});

describe("what is asked from outside while the store is away", () => {
  const refusal = {
    key,
    resultBytes: Buffer.from("no"),
    letter: { headers: { "dlq-source": "tools/0/1" }, value: Buffer.from("x") },
  };

  test.each(["away", "deaf"] as const)("is kept: a cancel and a refusal like a call (%s)", async (fault) => {
    const { spooled, inner, first, second } = await setup();
    inner.set(fault);
    expect(await spooled.store.requestCancel(key, 1000, never())).toBe("kept");
    expect(await spooled.store.requestCancel(key, 1000, never())).toBe("kept");
    expect(await spooled.store.refuse(refusal, never())).toBe("answered");
    expect(await entriesOf(first)).toEqual([
      { kind: "cancel", key, stubTtlMs: 1000 },
      { kind: "refusal", ...refusal },
    ]);
    expect(await entriesOf(second)).toEqual([]);
  });

  test("is refused where it may not wait", async () => {
    for (const { spooled, inner } of [await setup(broken), await setup({}, false)]) {
      inner.set("away");
      await expect(spooled.store.requestCancel(key, 1000, never())).rejects.toMatchObject({ isAway: true });
      await expect(spooled.store.refuse(refusal, never())).rejects.toMatchObject({ isAway: true });
    }
  });

  test("hears why at once, and the store is not asked again for it, unless it went a moment ago", async () => {
    const { spooled, inner, clock } = await setup();
    inner.set("away");
    await expect(spooled.store.get(key, never())).rejects.toThrow("no answer");
    clock.advance(1500);
    const before = inner.calls.length;
    await expect(spooled.store.get(key, never())).rejects.toThrow("no answer");
    expect(inner.calls.length).toBe(before + 1);
    clock.advance(1);
    const asked = inner.calls.length;
    for (const call of [spooled.store.get(key, never()), spooled.store.list({ limit: 1 }, never())])
      await expect(call).rejects.toMatchObject({ away: "store", message: expect.stringContaining("no answer") });
    await expect(spooled.store.keepLetter(null, {}, Buffer.from(""), never())).rejects.toMatchObject({ away: "store" });
    expect(inner.calls).toHaveLength(asked);
    inner.set(null);
    await spooled.probe(never());
    expect(await spooled.store.get(key, never())).toBeNull();
  });
});

describe("while the store bars us", () => {
  test("what has run is kept, and nothing new is taken in", async () => {
    const { spooled, inner, first, changes } = await setup();
    const attempt = await leased(spooled);
    inner.set("barred");
    const own = { isBarred: true, message: expect.stringContaining("refuses this user") };
    await expect(spooled.store.intake(aTask({ task_id: "t-2" }), hash, never())).rejects.toMatchObject(own);
    await expect(spooled.store.requestCancel(key, 1000, never())).rejects.toMatchObject(own);
    await expect(spooled.store.get(key, never())).rejects.toMatchObject(own);
    expect(await spooled.store.finish(attempt, result, bytes, never())).toBe(true);
    expect(await entriesOf(first)).toEqual([{ kind: "finish", attempt, resultBytes: bytes }]);
    expect(changes).toEqual(["barred"]);
  });

  test("that is told apart from a store that is away, whichever comes first", async () => {
    const { spooled, inner, clock, changes } = await setup();
    await leased(spooled);
    for (const fault of ["away", "barred", "barred", "away"] as const) {
      inner.set(fault);
      await expect(spooled.probe(never())).rejects.toMatchObject({ isBarred: fault === "barred" });
    }
    inner.set(null);
    await spooled.probe(never());
    expect(changes).toEqual(["away", "barred", "away", "here"]);
    // Owners could not renew meanwhile.
    const lost = { attempt: 1, owner: anOwner() };
    expect(await spooled.store.releaseLost(key, lost, true, never())).toBe(false);
    clock.advance(settleMs);
    expect(await spooled.store.releaseLost(key, lost, true, never())).toBe(true);
  });
});

describe("nobody's attempt is taken over", () => {
  const lost = { attempt: 1, owner: anOwner() };
  const takeOvers = (spooled: SpooledStore) => [
    spooled.store.releaseLost(key, lost, true, never()),
    spooled.store.finishUnleased(key, lost, result, bytes, never()),
    spooled.store.adopt({ key, number: 1, owner: anOwner() }, anOwner(2), 10_000, never()),
  ];

  test("until its owner could renew its lease again after an outage", async () => {
    const { spooled, inner, clock, changes } = await setup();
    await leased(spooled);
    inner.set("away");
    await expect(spooled.probe(never())).rejects.toMatchObject({ isAway: true });
    inner.set(null);
    await spooled.probe(never());
    expect(changes).toEqual(["away", "here"]);
    expect(await Promise.all(takeOvers(spooled))).toEqual([false, false, null]);
    clock.advance(settleMs - 1);
    expect(await Promise.all(takeOvers(spooled))).toEqual([false, false, null]);
    clock.advance(1);
    expect(await spooled.store.releaseLost(key, lost, true, never())).toBe(true);
  });

  test("nor after a call that was answered, but late: the outage was in it", async () => {
    const { spooled, inner, clock } = await setup();
    await leased(spooled);
    const list = async (...given: Parameters<typeof inner.store.list>) => {
      clock.advance(3001);
      return await memoryTaskStore(clock).list(...given);
    };
    Object.assign(inner.store, { list });
    await spooled.probe(never());
    expect(await Promise.all(takeOvers(spooled))).toEqual([false, false, null]);
    clock.advance(settleMs);
    expect(await spooled.store.releaseLost(key, lost, true, never())).toBe(true);
  });

  test("while its end waits, whoever put it there, and from then on it may be", async () => {
    const { spooled, inner, clock, first } = await setup();
    const attempt = await leased(spooled);
    inner.set("away");
    await spooled.store.finish(attempt, result, bytes, never());
    inner.set(null);
    await spooled.probe(never());
    clock.advance(2 * settleMs);
    expect(await Promise.all(takeOvers(spooled))).toEqual([false, false, null]);
    const [entry] = await entriesOf(first);
    if (!entry) throw new Error("nothing was kept");
    spooled.settled(entry);
    expect(await spooled.store.releaseLost(key, lost, true, never())).toBe(true);
    spooled.guard(entry);
    expect(await Promise.all(takeOvers(spooled))).toEqual([false, false, null]);
  });

  test("but a queued task that nobody holds may be ended at any time", async () => {
    const { spooled, inner } = await setup();
    await spooled.store.intake(aTask(), hash, never());
    inner.set("away");
    await expect(spooled.probe(never())).rejects.toMatchObject({ isAway: true });
    inner.set(null);
    await spooled.probe(never());
    const queued = { attempt: 0, owner: null };
    expect(await spooled.store.finishUnleased(key, queued, result, bytes, never())).toBe(true);
  });
});
