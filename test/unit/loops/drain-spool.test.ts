import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { diskSpool } from "../../../src/adapters/disk/disk-spool.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { drainSpool, type Fate } from "../../../src/loops/drain-spool.ts";
import type { Attempt } from "../../../src/model/attempt.ts";
import { countsOf, type SpoolEntry, spooledKey } from "../../../src/model/spool-entry.ts";
import { keyText } from "../../../src/model/task.ts";
import type { Spool } from "../../../src/ports/spool.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { requestSha256 } from "../../../src/schema/canonical.ts";
import { encodeResult } from "../../../src/schema/encode-result.ts";
import { faultyStore } from "../../support/faulty-store.ts";
import { anOwner, aResult, aTask, handClock, never } from "../../support/samples.ts";

let folder: string;
let spool: Spool;
let clock: ReturnType<typeof handClock>;
let store: TaskStore;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "drain-"));
  clock = handClock();
  spool = await diskSpool(folder, { maxIntakeBytes: 1_000_000, now: clock.now });
  store = memoryTaskStore(clock);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function drain(from: TaskStore = store, through: Spool = spool) {
  const fates: [string, Fate][] = [];
  const onDrained = (entry: SpoolEntry, fate: Fate) =>
    fates.push([entry.kind === "intake" ? entry.task.task_id : keyText(spooledKey(entry)), fate]);
  const report = await drainSpool({ store: from, spool: through, clock, onDrained }, never());
  return { report, fates, waiting: (await spool.totals(never())).counts };
}

const nothing = countsOf({});

function intakeOf(task_id: string, askedAt: number | null = null, stdin: string | null = null): SpoolEntry {
  const task = aTask({ task_id, stdin });
  return { kind: "intake", task, requestSha256: requestSha256(task), askedAt };
}

async function leased(taskId: string): Promise<Attempt> {
  const task = aTask({ task_id: taskId });
  await store.intake(task, requestSha256(task), never());
  const attempt = await store.leaseTask({ tenantId: "acme", taskId }, anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  return attempt;
}

const finishOf = (attempt: Attempt): Extract<SpoolEntry, { kind: "finish" }> => ({
  kind: "finish",
  attempt,
  resultBytes: encodeResult(aResult({ task_id: attempt.key.taskId })),
});

const sent = async () => (await store.claimOutbox(100, 0, never())).map(({ kind, key }) => [kind, key?.taskId ?? null]);

test("what waits is brought to the store, oldest first, and is gone from the spool", async () => {
  const [ending, given] = [await leased("t-ending"), await leased("t-given")];
  for (let index = 0; index < 250; index++) await spool.put(intakeOf(`t-${index}`), never());
  await spool.put(finishOf(ending), never());
  await spool.put({ kind: "release", attempt: given, strike: true }, never());
  const { report, waiting } = await drain();
  expect(report).toEqual({ drained: { stored: 252, known: 0, conflict: 0, outdated: 0 }, left: [] });
  expect(waiting).toEqual(nothing);
  const ended = await store.get(ending.key, never());
  expect(ended?.resultBytes).toEqual(finishOf(ending).resultBytes);
  expect(await store.get(given.key, never())).toMatchObject({ state: "QUEUED", strikes: 1 });
  const listed = await store.list({ limit: 1000 }, never());
  expect(
    listed
      .map(({ task }) => task.task_id)
      .reverse()
      .slice(2),
  ).toEqual(Array.from({ length: 250 }, (_, index) => `t-${index}`));
  expect(await sent()).toEqual([["result", "t-ending"]]);
});

test("what ends an attempt does not wait behind calls", async () => {
  const attempt = await leased("t-ending");
  for (let index = 0; index < 30; index++) await spool.put(intakeOf(`t-${index}`), never());
  await spool.put(finishOf(attempt), never());
  expect((await drain()).fates[0]).toEqual(["acme/t-ending", "stored"]);
});

describe("once", () => {
  test("a result that the store had already, since only its answer was lost, is known and not sent again", async () => {
    const attempt = await leased("t-1");
    const entry = finishOf(attempt);
    await store.finish(attempt, aResult(), entry.resultBytes, never());
    await spool.put(entry, never());
    expect(await drain()).toMatchObject({ fates: [["acme/t-1", "known"]], waiting: nothing });
    expect(await sent()).toEqual([["result", "t-1"]]);
  });

  test("a result of an attempt that no longer has the task is outdated, and changes nothing", async () => {
    const attempt = await leased("t-1");
    await store.releaseLost(attempt.key, { attempt: 1, owner: anOwner() }, true, never());
    await spool.put(finishOf(attempt), never());
    await spool.put({ kind: "release", attempt, strike: false }, never());
    const { fates, waiting } = await drain();
    expect(fates).toEqual([
      ["acme/t-1", "outdated"],
      ["acme/t-1", "outdated"],
    ]);
    expect(waiting).toEqual(nothing);
    expect(await store.get(attempt.key, never())).toMatchObject({ state: "QUEUED", resultBytes: null, strikes: 1 });
    expect(await sent()).toEqual([]);
  });

  test("a call that the store took in while its answer was lost is not answered twice", async () => {
    await spool.put(intakeOf("t-1", clock.now()), never());
    clock.advance(100);
    const attempt = await leased("t-1");
    await store.finish(attempt, aResult(), finishOf(attempt).resultBytes, never());
    clock.advance(60_000);
    expect(await drain()).toMatchObject({ fates: [["t-1", "known"]], waiting: nothing });
    expect(await sent()).toEqual([["result", "t-1"]]);
  });

  test.each([
    ["the store was asked and had it long before", () => clock.now()],
    ["the store was not asked", () => null],
  ])("a call that is sent again is answered again: %s", async (_name, askedAt) => {
    const attempt = await leased("t-1");
    await store.finish(attempt, aResult(), finishOf(attempt).resultBytes, never());
    clock.advance(60_000);
    await spool.put(intakeOf("t-1", askedAt()), never());
    expect(await drain()).toMatchObject({ fates: [["t-1", "known"]] });
    expect(await sent()).toEqual([
      ["result", "t-1"],
      ["result", "t-1"],
    ]);
  });

  test("a drain that dies before it removes an entry does no harm to the next", async () => {
    const attempt = await leased("t-1");
    await spool.put(intakeOf("t-2", clock.now()), never());
    await spool.put(finishOf(attempt), never());
    const dying = {
      ...spool,
      remove: async () => {
        throw new Error("killed");
      },
    };
    await expect(drain(store, dying)).rejects.toThrow("killed");
    await expect(drain(store, dying)).rejects.toThrow("killed");
    expect((await drain()).report?.drained).toEqual({ stored: 1, known: 1, conflict: 0, outdated: 0 });
    expect(await sent()).toEqual([["result", "t-1"]]);
    expect(await store.list({ limit: 10 }, never())).toHaveLength(2);
  });
});

test("a call whose id has become another request's is a dead letter with its request, and the first stands", async () => {
  await leased("t-1");
  await spool.put(intakeOf("t-1", null, "another"), never());
  expect(await drain()).toMatchObject({ fates: [["t-1", "conflict"]], waiting: nothing });
  const [letter] = await store.claimOutbox(10, 0, never());
  expect(letter).toMatchObject({ kind: "dead_letter", headers: { "dlq-reason": "conflict", "dlq-stage": "intake" } });
  expect(JSON.parse(letter?.value.toString() ?? "")).toMatchObject({ task_id: "t-1", stdin: "another" });
  expect((await store.get({ tenantId: "acme", taskId: "t-1" }, never()))?.task.stdin).toBeNull();
});

test("while the store is away nothing is removed, and the pass ends at once", async () => {
  const away = faultyStore(store);
  away.set("away");
  for (const id of ["t-1", "t-2", "t-3"]) await spool.put(intakeOf(id), never());
  await expect(drain(away.store)).rejects.toMatchObject({ isAway: true });
  expect(away.calls).toEqual(["intake", "list"]);
  expect((await spool.totals(never())).counts.intake).toBe(3);
  away.set(null);
  expect((await drain(away.store)).waiting).toEqual(nothing);
});

test("an entry that the store refuses while it answers stays, with what is behind it of the same task; the others go on", async () => {
  const attempt = await leased("t-1");
  const [other, more] = [await leased("t-2"), intakeOf("t-3")];
  await spool.put(finishOf(attempt), never());
  await spool.put({ kind: "release", attempt, strike: false }, never());
  await spool.put(finishOf(other), never());
  await spool.put(more, never());
  const refusing: TaskStore = {
    ...store,
    finish: (given, ...rest) =>
      given.key.taskId === "t-1" ? Promise.reject(new Error("bad bytes")) : store.finish(given, ...rest),
  };
  const { report, fates, waiting } = await drain(refusing);
  expect(fates).toEqual([
    ["acme/t-2", "stored"],
    ["t-3", "stored"],
  ]);
  expect(report?.left.map(({ why }) => why)).toEqual(["bad bytes", "it is behind another of its task"]);
  expect(waiting).toEqual(countsOf({ intake: 0, finish: 1, release: 1 }));
});

test("a file that cannot be read stays where it is, and stops nobody", async () => {
  const attempt = await leased("t-1");
  await spool.put(finishOf(attempt), never());
  const [name = ""] = readdirSync(folder).filter((each) => each.includes(".finish."));
  writeFileSync(join(folder, name), '{"kind":"finish","tenant_id":');
  await spool.put(intakeOf("t-2"), never());
  const { report, fates } = await drain();
  expect(report?.left).toEqual([{ id: name, entry: null, why: "it cannot be read" }]);
  expect(fates).toEqual([["t-2", "stored"]]);
  expect(readdirSync(folder)).toContain(name);
});

test("where somebody else is at it, nothing is done", async () => {
  await spool.put(intakeOf("t-1"), never());
  const other = await diskSpool(folder, { maxIntakeBytes: 1, now: clock.now });
  const { report } = (await other.exclusively(() => drain(), never())) ?? {};
  expect(report).toBeNull();
  expect((await spool.totals(never())).counts.intake).toBe(1);
});

describe("what was asked from outside", () => {
  const key = { tenantId: "acme", taskId: "t-1" };
  const cancel: SpoolEntry = { kind: "cancel", key, stubTtlMs: 60_000 };
  const refusal: SpoolEntry = {
    kind: "refusal",
    key,
    resultBytes: encodeResult(aResult({ task_id: "t-1", reason: "validation", status: "failed" })),
    letter: { headers: { "dlq-reason": "conflict", "dlq-source": "tools/0/1" }, value: Buffer.from("as it came") },
  };

  test("a cancel ends the call that waited before it, and is remembered for one that comes later", async () => {
    await spool.put(intakeOf("t-1"), never());
    await spool.put(cancel, never());
    await spool.put({ ...cancel, key: { ...key, taskId: "t-2" } }, never());
    expect((await drain()).fates).toEqual([
      ["t-1", "stored"],
      ["acme/t-1", "stored"],
      ["acme/t-2", "stored"],
    ]);
    expect(await store.get(key, never())).toMatchObject({ state: "FINISHED", reason: "cancelled", attempt: 0 });
    const later = aTask({ task_id: "t-2" });
    await store.intake(later, requestSha256(later), never());
    expect(await store.get({ ...key, taskId: "t-2" }, never())).toMatchObject({ cancelRequested: true });
  });

  test("a cancel reaches the attempt under way, and comes too late for one whose end waited too", async () => {
    const running = await leased("t-1");
    await spool.put(cancel, never());
    expect((await drain()).fates).toEqual([["acme/t-1", "stored"]]);
    expect(await store.renew(running, 10_000, never())).toEqual({ cancelRequested: true });
    const ending = await leased("t-2");
    await spool.put({ ...cancel, key: ending.key }, never());
    await spool.put(finishOf(ending), never());
    expect((await drain()).fates).toEqual([
      ["acme/t-2", "stored"],
      ["acme/t-2", "known"],
    ]);
    expect((await store.get(ending.key, never()))?.resultBytes).toEqual(finishOf(ending).resultBytes);
  });

  test("a refusal is answered, and where its name is another task's it is a dead letter instead", async () => {
    await spool.put(refusal, never());
    expect((await drain()).fates).toEqual([["acme/t-1", "stored"]]);
    expect(await sent()).toEqual([["result", null]]);
    await leased("t-1");
    await spool.put(refusal, never());
    expect((await drain()).fates).toEqual([["acme/t-1", "conflict"]]);
    expect(await sent()).toEqual([
      ["result", null],
      ["dead_letter", "t-1"],
    ]);
  });
});
