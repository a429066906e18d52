import { describe, expect, test } from "vitest";
import type { AuditRecord } from "../../src/model/audit.ts";
import { taskKey } from "../../src/model/task.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { onStores } from "../support/on-stores.ts";
import { anAuditRecord, anOwner, aResult, aTask, type handClock, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const ageMs = 1000;
const keyOf = (taskId: string) => taskKey(aTask({ task_id: taskId }));

/** What every task store promises about what is past its time. */
export function retentionConformance(name: string, open: OpenTaskStores): void {
  const withStores = onStores(open);
  const old = async (store: TaskStore, what: "results" | "logs" | "artifacts" = "results", limit = 10) =>
    (await store.listOld(what, ageMs, [], limit, never())).map(({ key }) => key.taskId);

  describe(`${name}: what was decided for tasks`, () => {
    const record = (taskId: string, at: number, host: string): AuditRecord =>
      anAuditRecord({ key: keyOf(taskId), at, detail: { host, port: 443, why: null } });

    test("is told as it was, of one task, in the order it was added, and no more than asked for", () =>
      withStores(async (store, other, clock) => {
        const [first, second] = [record("t-1", clock.now(), "a.test"), record("t-1", clock.now() - 5, "b.test")];
        await store.audit([first, record("t-2", clock.now(), "c.test")], never());
        await other.audit([second], never());
        await store.audit([], never());
        expect(await store.listAudit(keyOf("t-1"), 10, never())).toEqual([first, second]);
        expect(await other.listAudit(keyOf("t-1"), 1, never())).toEqual([first]);
        expect(await store.listAudit(keyOf("t-3"), 10, never())).toEqual([]);
      }));

    test("outlives its task, and goes when it is past its own time", () =>
      withStores(async (store, other, clock) => {
        await ended(store, "t-1", clock);
        await store.audit([record("t-1", clock.now(), "a.test"), record("t-1", clock.now() + 1, "b.test")], never());
        clock.advance(ageMs);
        await store.forget(await store.listOld("results", ageMs, [], 10, never()), [], never());
        expect(await other.get(keyOf("t-1"), never())).toBeNull();
        expect(await other.listAudit(keyOf("t-1"), 10, never())).toHaveLength(2);
        expect(await store.forgetAudit(ageMs, 10, never())).toBe(1);
        expect((await other.listAudit(keyOf("t-1"), 10, never())).map(({ detail }) => detail.host)).toEqual(["b.test"]);
      }));
  });

  describe(`${name}: what is past its time`, () => {
    test("are tasks that ended so long ago, the longest ago first, and no more than asked for", () =>
      withStores(async (store, other, clock) => {
        for (const taskId of ["t-2", "t-1"]) await ended(store, taskId, clock);
        clock.advance(1);
        await ended(store, "t-3", clock);
        clock.advance(ageMs - 1);
        expect(await old(other)).toEqual(["t-2", "t-1"]);
        clock.advance(1);
        expect(await old(other)).toEqual(["t-2", "t-1", "t-3"]);
        expect(await old(other, "logs", 1)).toEqual(["t-2"]);
        const [first] = await store.listOld("results", ageMs, [], 10, never());
        expect(first).toMatchObject({ key: keyOf("t-2"), attempt: 1, finishedAt: clock.now() - ageMs - 1 });
      }));

    test("is never a task that has not ended, however old, nor one whose result is still to be sent", () =>
      withStores(async (store, _other, clock) => {
        await store.intake(aTask({ task_id: "t-queued" }), "h", never());
        await store.intake(aTask({ task_id: "t-running" }), "h", never());
        await store.leaseTask(keyOf("t-running"), anOwner(), 10, never());
        await ended(store, "t-unsent", clock, false);
        clock.advance(ageMs * 1000);
        for (const what of ["results", "logs", "artifacts"] as const) expect(await old(store, what)).toEqual([]);
        const abandoned = await store.listOld("results", ageMs, ["result", "dead_letter"], 10, never());
        expect(abandoned.map(({ key }) => key.taskId)).toEqual(["t-unsent"]);
        expect(await store.listOld("results", ageMs, ["dead_letter"], 10, never())).toEqual([]);
      }));

    test("is told once for logs and once for artifacts, and what comes later is told too", () =>
      withStores(async (store, other, clock) => {
        for (const taskId of ["t-1", "t-2", "t-3"]) await ended(store, taskId, clock);
        clock.advance(ageMs);
        const [first, second] = await store.listOld("logs", ageMs, [], 2, never());
        if (first === undefined || second === undefined) throw new Error("not listed");
        await store.markSwept("logs", second, never());
        await store.markSwept("logs", first, never());
        expect(await old(other, "logs")).toEqual(["t-3"]);
        expect(await old(other, "artifacts")).toEqual(["t-1", "t-2", "t-3"]);
        await store.markSwept("artifacts", first, never());
        expect(await old(other, "artifacts")).toEqual(["t-2", "t-3"]);
        expect(await old(other, "results")).toEqual(["t-1", "t-2", "t-3"]);
        await ended(store, "t-4", clock);
        clock.advance(ageMs);
        expect(await old(other, "logs")).toEqual(["t-3", "t-4"]);
      }));

    test("once it is forgotten was never there: its id is free, and nothing of it waits to be sent", () =>
      withStores(async (store, other, clock) => {
        await ended(store, "t-1", clock, false);
        await ended(store, "t-2", clock);
        clock.advance(ageMs);
        const tasks = await store.listOld("results", ageMs, ["result"], 10, never());
        expect(tasks).toHaveLength(2);
        expect(await store.forget(tasks, ["result"], never())).toBe(2);
        expect(await store.forget(tasks, ["result"], never())).toBe(0);
        expect(await other.get(keyOf("t-1"), never())).toBeNull();
        expect(await other.list({ limit: 10 }, never())).toEqual([]);
        clock.advance(60_000);
        expect(await other.claimOutbox(10, 1000, never())).toEqual([]);
        expect(await other.outboxAgeMs(never())).toBeNull();
        expect(await other.republish(keyOf("t-1"), never())).toBe(false);
        await ended(other, "t-1", clock);
        // Seen before it was another task.
        expect(await store.forget(tasks, ["result"], never())).toBe(0);
        expect(await store.get(keyOf("t-1"), never())).toMatchObject({ state: "FINISHED", attempt: 1 });
      }));

    test("is not forgotten when somebody asked for its result again meanwhile", () =>
      withStores(async (store, other, clock) => {
        await ended(store, "t-1", clock);
        clock.advance(ageMs);
        const tasks = await store.listOld("results", ageMs, [], 10, never());
        expect(await other.republish(keyOf("t-1"), never())).toBe(true);
        expect(await store.forget(tasks, [], never())).toBe(0);
        expect((await other.claimOutbox(10, 1000, never())).map(({ kind }) => kind)).toEqual(["result"]);
      }));

    test("of many that are forgotten while their results are asked for again, no message is left without its task", () =>
      withStores(async (store, other, clock) => {
        const ids = Array.from({ length: 30 }, (_, index) => `t-${index}`);
        for (const taskId of ids) await ended(store, taskId, clock);
        clock.advance(ageMs);
        const tasks = await store.listOld("results", ageMs, [], 100, never());
        const [again] = await Promise.all([
          Promise.all(ids.map((taskId) => other.republish(keyOf(taskId), never()))),
          ...[0, 10, 20].map((from) => store.forget(tasks.slice(from, from + 10), [], never())),
        ]);
        const waiting = (await store.claimOutbox(100, 1000, never())).map(({ key }) => key?.taskId);
        const there = (await store.list({ limit: 100 }, never())).map(({ task }) => task.task_id);
        expect(waiting.sort()).toEqual(ids.filter((_, index) => again[index]).sort());
        expect(there.sort()).toEqual(waiting.sort());
      }));

    test("are messages that were sent so long ago, of the kinds that are named, no more at once than asked for", () =>
      withStores(async (store, other, clock) => {
        for (const taskId of ["t-1", "t-2", "t-3"]) await ended(store, taskId, clock);
        await store.deadLetter({ "dlq-reason": "validation" }, Buffer.from("x"), never());
        await sent(store);
        await ended(store, "t-waits", clock, false);
        clock.advance(ageMs - 1);
        expect(await other.forgetSent(["result"], ageMs, 10, never())).toBe(0);
        clock.advance(1);
        expect(await other.forgetSent(["result"], ageMs, 2, never())).toBe(2);
        expect(await other.forgetSent(["result"], ageMs, 10, never())).toBe(1);
        expect(await other.forgetSent(["dead_letter"], ageMs, 10, never())).toBe(1);
        expect(await other.forgetSent(["result", "dead_letter"], 0, 10, never())).toBe(0);
        expect((await store.claimOutbox(10, 1000, never())).map(({ key }) => key?.taskId)).toEqual(["t-waits"]);
      }));
  });
}

async function ended(
  store: TaskStore,
  taskId: string,
  clock: ReturnType<typeof handClock>,
  isSent = true,
): Promise<void> {
  const task = aTask({ task_id: taskId });
  await store.intake(task, "h1", never());
  const attempt = await store.leaseTask(taskKey(task), anOwner(), 10_000, never());
  if (attempt === null) throw new Error(`${taskId} not leased at ${clock.now()}`);
  expect(await store.finish(attempt, aResult(), Buffer.from("result"), never())).toBe(true);
  if (isSent) await sent(store);
}

async function sent(store: TaskStore): Promise<void> {
  const rows = await store.claimOutbox(1000, 1, never());
  await store.markPublished(
    rows.map(({ id }) => id),
    never(),
  );
}
