import { describe, expect, test } from "vitest";
import type { Attempt } from "../../src/model/attempt.ts";
import { type TaskKey, taskKey } from "../../src/model/task.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { QueueBounds, TaskStore } from "../../src/ports/task-store.ts";
import { leaseOne } from "../support/lease-one.ts";
import { onStores } from "../support/on-stores.ts";
import { anOwner, aResult, aTask, never } from "../support/samples.ts";
import { atOnceConformance } from "./task-store-at-once.ts";
import { callbackConformance } from "./task-store-callbacks.ts";
import { letterConformance } from "./task-store-letters.ts";
import { outboxConformance } from "./task-store-outbox.ts";
import { queueConformance } from "./task-store-queue.ts";
import { retentionConformance } from "./task-store-retention.ts";
import { takeoverConformance } from "./task-store-takeover.ts";

const leaseMs = 10_000;
const key: TaskKey = taskKey(aTask());
const us = anOwner(1);
const them = anOwner(2);
const bytes = Buffer.from('{"answer": 42}\n');

/** Opens two views on one store: two processes on one file, or one store twice where there is only one process. */
export type OpenTaskStores = (
  clock: Clock,
  queue?: QueueBounds,
) => Promise<readonly [TaskStore, TaskStore] & AsyncDisposable>;

/** What every task store promises, whatever it is made of. */
export function taskStoreConformance(name: string, open: OpenTaskStores): void {
  takeoverConformance(name, open);
  atOnceConformance(name, open);
  outboxConformance(name, open);
  retentionConformance(name, open);
  queueConformance(name, open);
  callbackConformance(name, open);
  letterConformance(name, open);
  const withStores = onStores(open);
  const leased = async (store: TaskStore): Promise<Attempt> => {
    await store.intake(aTask(), "h1", never());
    const attempt = await store.leaseTask(key, us, leaseMs, never());
    if (attempt === null) throw new Error("a new task could not be leased");
    return attempt;
  };
  const running = async (store: TaskStore): Promise<Attempt> => {
    const attempt = await leased(store);
    expect(await store.starting(attempt, never())).toBe(true);
    expect(await store.running(attempt, "sandbox-1", 5, never())).toBe(true);
    return attempt;
  };

  describe(`${name} is a TaskStore`, () => {
    test("a task taken in is queued, and both views see it whole", () =>
      withStores(async (store, other, clock) => {
        const task = aTask({ metadata: { z: 1, a: [null, "ü\u0000"] }, priority: 9 });
        expect(await store.intake(task, "h1", never())).toEqual({ kind: "accepted" });
        expect(await other.get(key, never())).toEqual({
          task,
          requestSha256: "h1",
          state: "QUEUED",
          attempt: 0,
          strikes: 0,
          owner: null,
          leaseUntil: null,
          cancelRequested: false,
          receivedAt: clock.now(),
          startedAt: null,
          finishedAt: null,
          sandboxId: null,
          resultBytes: null,
          reason: null,
        });
      }));

    test("answers null for a task it never saw", () =>
      withStores(async (store) => {
        expect(await store.get(key, never())).toBeNull();
        expect(await store.leaseTask(key, us, leaseMs, never())).toBeNull();
        expect(await leaseOne(store, us, leaseMs)).toBeNull();
      }));

    test("of a hundred intakes of one request at once, one is accepted and the others get that task", () =>
      withStores(async (store, other) => {
        const intakes = await Promise.all(
          Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? store : other).intake(aTask(), "h1", never())),
        );
        expect(intakes.filter(({ kind }) => kind === "accepted")).toHaveLength(1);
        expect(intakes.filter(({ kind }) => kind === "duplicate")).toHaveLength(99);
        expect(await store.list({ limit: 10 }, never())).toHaveLength(1);
      }));

    test("the same request after the end gets the first result, byte for byte", () =>
      withStores(async (store, other) => {
        await store.finish(await running(store), aResult(), bytes, never());
        const again = await other.intake(aTask(), "h1", never());
        expect(again).toMatchObject({
          kind: "duplicate",
          record: { state: "FINISHED", reason: "ok", resultBytes: bytes },
        });
      }));

    test("a known id with another request is a conflict and changes nothing", () =>
      withStores(async (store, other) => {
        await store.intake(aTask(), "h1", never());
        const before = await store.get(key, never());
        expect(await other.intake(aTask({ payload: { command: "false" } }), "h2", never())).toEqual({
          kind: "conflict",
        });
        expect(await store.get(key, never())).toEqual(before);
      }));

    test("two tenants may use one task id", () =>
      withStores(async (store) => {
        await store.intake(aTask(), "h1", never());
        expect(await store.intake(aTask({ tenant_id: "other" }), "h2", never())).toEqual({ kind: "accepted" });
        await store.requestCancel({ tenantId: "other", taskId: "t-1" }, 1000, never());
        expect((await store.get(key, never()))?.cancelRequested).toBe(false);
      }));

    test("a task goes through every state to its end, and the result is the bytes that were given", () =>
      withStores(async (store, other, clock) => {
        const attempt = await leased(store);
        expect(attempt).toEqual({ key, number: 1, owner: us });
        const leaseUntil = clock.now() + leaseMs;
        expect(await other.get(key, never())).toMatchObject({ state: "LEASED", attempt: 1, owner: us, leaseUntil });
        expect(await store.starting(attempt, never())).toBe(true);
        expect(await other.get(key, never())).toMatchObject({ state: "STARTING", startedAt: null });
        clock.advance(5);
        expect(await store.running(attempt, "sandbox-1", clock.now() + 1, never())).toBe(true);
        expect(await other.get(key, never())).toMatchObject({
          state: "RUNNING",
          sandboxId: "sandbox-1",
          startedAt: clock.now(),
        });
        expect(await store.collecting(attempt, never())).toBe(true);
        expect(await other.get(key, never())).toMatchObject({ state: "COLLECTING" });
        clock.advance(5);
        const odd = Buffer.from([0xff, 0x00, 0x0a, 0xc3, 0x28]);
        expect(await store.finish(attempt, aResult({ reason: "nonzero_exit", status: "failed" }), odd, never())).toBe(
          true,
        );
        expect(await other.get(key, never())).toMatchObject({
          state: "FINISHED",
          reason: "nonzero_exit",
          owner: null,
          leaseUntil: null,
          finishedAt: clock.now(),
          resultBytes: odd,
        });
      }));

    test.each(["starting", "running", "collecting"] as const)(
      "%s happens only from the state before it, and once",
      (step) =>
        withStores(async (store) => {
          const attempt = await leased(store);
          const steps = {
            starting: () => store.starting(attempt, never()),
            running: () => store.running(attempt, "sandbox-1", 5, never()),
            collecting: () => store.collecting(attempt, never()),
          };
          for (const later of ["running", "collecting"] as const) expect(await steps[later]()).toBe(false);
          for (const each of ["starting", "running", "collecting"] as const) {
            expect(await steps[each]()).toBe(true);
            if (each === step) break;
          }
          expect(await steps[step]()).toBe(false);
        }),
    );

    test.each<[string, Attempt]>([
      ["an earlier attempt", { key, number: 1, owner: us }],
      ["another owner", { key, number: 2, owner: them }],
      ["an attempt to come", { key, number: 3, owner: us }],
      ["another task", { key: { tenantId: "acme", taskId: "t-2" }, number: 2, owner: us }],
    ])("%s can write nothing", (_name, zombie) =>
      withStores(async (store, other) => {
        expect(await store.release(await leased(store), false, never())).toBe(true);
        const attempt = await store.leaseTask(key, us, leaseMs, never());
        expect(attempt?.number).toBe(2);
        const before = await store.get(key, never());
        const writes = [
          await other.starting(zombie, never()),
          await other.running(zombie, "s", 1, never()),
          await other.collecting(zombie, never()),
          await other.release(zombie, true, never()),
          await other.finish(zombie, aResult(), bytes, never()),
          await other.finishUnleased(
            zombie.key,
            { attempt: zombie.number, owner: zombie.owner },
            aResult(),
            bytes,
            never(),
          ),
          (await other.renew(zombie, leaseMs, never())) !== null,
        ];
        expect(writes).toEqual(writes.map(() => false));
        expect(await store.get(key, never())).toEqual(before);
      }),
    );

    test("what is finished never changes", () =>
      withStores(async (store, other, clock) => {
        const attempt = await running(store);
        await store.finish(attempt, aResult(), bytes, never());
        const before = await store.get(key, never());
        clock.advance(1000);
        expect(await store.finish(attempt, aResult({ reason: "timeout" }), Buffer.from("x"), never())).toBe(false);
        expect(await store.release(attempt, true, never())).toBe(false);
        expect(await store.collecting(attempt, never())).toBe(false);
        expect(await store.renew(attempt, leaseMs, never())).toBeNull();
        expect(await store.leaseTask(key, them, leaseMs, never())).toBeNull();
        expect(await leaseOne(other, them, leaseMs)).toBeNull();
        const unleased = { attempt: 1, owner: null };
        expect(await other.finishUnleased(key, unleased, aResult(), Buffer.from("x"), never())).toBe(false);
        expect(await other.requestCancel(key, 1000, never())).toEqual(before);
        expect(await store.get(key, never())).toEqual(before);
      }));

    test("the bytes of a result are the store's own", () =>
      withStores(async (store) => {
        const mine = Buffer.from("before");
        await store.finish(await running(store), aResult(), mine, never());
        mine.write("after!");
        expect((await store.get(key, never()))?.resultBytes?.toString()).toBe("before");
      }));

    test("one queued task is leased once, however many ask", () =>
      withStores(async (store, other) => {
        await store.intake(aTask(), "h1", never());
        const attempts = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            (index % 2 === 0 ? store : other).leaseTask(key, anOwner(index + 1), leaseMs, never()),
          ),
        );
        expect(attempts.filter((attempt) => attempt !== null)).toHaveLength(1);
      }));

    test("the next task is the one of the highest priority, then the oldest", () =>
      withStores(async (store, other, clock) => {
        for (const [taskId, priority] of [
          ["low", 0],
          ["first", 5],
          ["second", 5],
          ["high", 9],
        ] as const) {
          await store.intake(aTask({ task_id: taskId, priority }), "h1", never());
          clock.advance(1);
        }
        const order: string[] = [];
        for (let next = await leaseOne(other, us, leaseMs); next; next = await leaseOne(other, us, leaseMs)) {
          order.push(next.key.taskId);
        }
        expect(order).toEqual(["high", "first", "second", "low"]);
      }));

    test("the next task is of the tenant that has least under way, whatever the others' priorities and numbers", () =>
      withStores(async (store, other) => {
        for (const taskId of ["flood-1", "flood-2", "flood-3"])
          await store.intake(aTask({ task_id: taskId, priority: 9 }), "h1", never());
        for (const taskId of ["small-1", "small-2"])
          await store.intake(aTask({ tenant_id: "beta", task_id: taskId, priority: 0 }), "h1", never());
        const next = async (view: TaskStore) => (await leaseOne(view, us, leaseMs))?.key.taskId;
        expect([await next(store), await next(other), await next(store)]).toEqual(["flood-1", "small-1", "flood-2"]);
        expect([await next(other), await next(store), await next(other)]).toEqual(["small-2", "flood-3", undefined]);
      }));

    test("of tenants that have equally much under way it is the turn of the one that waited longer", () =>
      withStores(async (store, other, clock) => {
        for (const taskId of ["flood-1", "flood-2"])
          await store.intake(aTask({ task_id: taskId, priority: 9 }), "h1", never());
        const first = await leaseOne(store, us, leaseMs);
        await store.intake(aTask({ tenant_id: "beta", task_id: "small" }), "h1", never());
        clock.advance(1);
        if (first !== null) await store.finish(first, aResult({ task_id: "flood-1" }), bytes, never());
        const order = [await leaseOne(other, us, leaseMs), await leaseOne(store, us, leaseMs)];
        expect(order.map((attempt) => attempt?.key.taskId)).toEqual(["small", "flood-2"]);
      }));

    test.each([
      ["several at once are those that one by one would be", 3],
      ["no more are leased than are asked for", 1],
      ["fewer are leased where there are no more", 9],
    ])("%s: %i", (_name, count) =>
      withStores(async (store, other, clock) => {
        const queued = async (tenant_id: string, task_id: string, priority = 5): Promise<void> => {
          await store.intake(aTask({ tenant_id, task_id, priority }), "h1", never());
        };
        await queued("acme", "held");
        await leaseOne(store, us, leaseMs);
        clock.advance(1);
        for (const id of ["a-1", "a-2", "a-3"]) await queued("acme", id);
        for (const id of ["b-1", "b-2"]) await queued("beta", id, 0);
        await queued("beta", "b-first", 9);
        const leased = await other.leaseNext(count, them, leaseMs, never());
        const order = ["b-first", "a-1", "b-1", "a-2", "b-2", "a-3"].slice(0, count);
        expect(leased.map(({ attempt }) => attempt.key.taskId).sort()).toEqual(order.sort());
        for (const { attempt, record } of leased) {
          expect(attempt).toMatchObject({ number: 1, owner: them });
          expect(record).toEqual(await store.get(attempt.key, never()));
          expect(record.state).toBe("LEASED");
        }
      }),
    );

    test("of many leases of several at once each gets others", () =>
      withStores(async (store, other) => {
        const ids = Array.from({ length: 40 }, (_, index) => `t-${index}`);
        for (const task_id of ids) await store.intake(aTask({ task_id }), "h1", never());
        const leases = await Promise.all(
          Array.from({ length: 8 }, (_, index) =>
            (index % 2 === 0 ? store : other).leaseNext(4, anOwner(index + 1), leaseMs, never()),
          ),
        );
        const rest = await store.leaseNext(100, us, leaseMs, never());
        expect(leases.every(({ length }) => length <= 4)).toBe(true);
        expect([...leases.flat(), ...rest].map(({ attempt }) => attempt.key.taskId).sort()).toEqual(ids.sort());
      }));

    test("steps, renewals and ends of many attempts at once each have their own fence and their own answer", () =>
      withStores(async (store, other) => {
        const ids = Array.from({ length: 40 }, (_, index) => `t-${index}`);
        await Promise.all(ids.map((task_id) => store.intake(aTask({ task_id }), `h-${task_id}`, never())));
        const leased = (await store.leaseNext(40, us, leaseMs, never())).map(({ attempt }) => attempt);
        // Every other one has been lost to another owner meanwhile.
        const isOurs = (index: number): boolean => index % 2 === 0;
        for (const [index, attempt] of leased.entries())
          if (!isOurs(index)) await other.adopt(attempt, them, leaseMs, never());
        const ours = leased.map((_, index) => isOurs(index));
        const all = async <T>(call: (attempt: Attempt, index: number) => Promise<T>): Promise<readonly T[]> =>
          await Promise.all(leased.map(call));
        expect(await all((attempt) => store.starting(attempt, never()))).toEqual(ours);
        expect(await all((attempt) => store.running(attempt, attempt.key.taskId, 5, never()))).toEqual(ours);
        expect((await all((attempt) => store.renew(attempt, leaseMs, never()))).map((each) => each !== null)).toEqual(
          ours,
        );
        expect(await all((attempt) => store.collecting(attempt, never()))).toEqual(ours);
        const ended = await all((attempt, index) =>
          store.finish(attempt, aResult(), Buffer.from(`result ${index}`), never()),
        );
        expect(ended).toEqual(ours);
        for (const [index, { key }] of leased.entries()) {
          const record = await other.get(key, never());
          expect(record).toMatchObject(
            isOurs(index) ? { state: "FINISHED", sandboxId: key.taskId } : { state: "LEASED", owner: them },
          );
          expect(record?.resultBytes?.toString() ?? null).toBe(isOurs(index) ? `result ${index}` : null);
        }
        const sent = await other.claimOutbox(100, 1000, never());
        expect(sent.map(({ value }) => value.toString()).sort()).toEqual(
          ids.flatMap((_, index) => (isOurs(index) ? [`result ${index}`] : [])).sort(),
        );
      }));

    test("of two ends of one attempt at once one counts, and its bytes are there", () =>
      withStores(async (store) => {
        const attempt = await running(store);
        const [one, other] = ["one", "other"];
        const counts = await Promise.all(
          [one, other].map((each) => store.finish(attempt, aResult(), Buffer.from(each ?? ""), never())),
        );
        expect(counts.filter((isCounted) => isCounted)).toHaveLength(1);
        expect((await store.get(key, never()))?.resultBytes?.toString()).toBe(counts[0] ? one : other);
      }));

    test("a tenant whose tasks are all put off holds up no other", () =>
      withStores(async (store, _other, clock) => {
        const due = new Date(clock.now() + 60_000).toISOString();
        await store.intake(aTask({ tenant_id: "aaa", not_before: due }), "h1", never());
        await store.intake(aTask({ task_id: "t-2" }), "h1", never());
        await store.leaseTask({ tenantId: "acme", taskId: "t-2" }, us, leaseMs, never());
        await store.intake(aTask({ task_id: "t-3" }), "h1", never());
        expect((await leaseOne(store, us, leaseMs))?.key.taskId).toBe("t-3");
      }));

    test("a task released keeps its age", () =>
      withStores(async (store) => {
        const attempt = await leased(store);
        await store.intake(aTask({ task_id: "t-2" }), "h1", never());
        await store.release(attempt, false, never());
        expect((await leaseOne(store, us, leaseMs))?.key.taskId).toBe("t-1");
      }));

    test("a task put off is leased from its time on, and holds up no other", () =>
      withStores(async (store, _other, clock) => {
        const due = new Date(clock.now() + 60_000).toISOString();
        await store.intake(aTask({ not_before: due, priority: 9 }), "h1", never());
        await store.intake(aTask({ task_id: "t-2" }), "h1", never());
        expect(await store.leaseTask(key, us, leaseMs, never())).toBeNull();
        expect((await leaseOne(store, us, leaseMs))?.key.taskId).toBe("t-2");
        expect(await leaseOne(store, us, leaseMs)).toBeNull();
        clock.advance(60_000);
        expect((await leaseOne(store, us, leaseMs))?.key.taskId).toBe("t-1");
      }));

    test("renewing prolongs the lease and tells of a cancel", () =>
      withStores(async (store, other, clock) => {
        const attempt = await running(store);
        clock.advance(2000);
        expect(await store.renew(attempt, leaseMs, never())).toEqual({ cancelRequested: false });
        expect((await store.get(key, never()))?.leaseUntil).toBe(clock.now() + leaseMs);
        await other.requestCancel(key, 1000, never());
        expect(await store.renew(attempt, leaseMs, never())).toEqual({ cancelRequested: true });
      }));

    test.each([
      ["a strike counts", true, 1],
      ["a release without one does not", false, 0],
    ])("a released task is queued again with its next number: %s", (_name, strike, strikes) =>
      withStores(async (store) => {
        expect(await store.release(await running(store), strike, never())).toBe(true);
        expect(await store.get(key, never())).toMatchObject({
          state: "QUEUED",
          attempt: 1,
          strikes,
          owner: null,
          leaseUntil: null,
          sandboxId: null,
          startedAt: null,
        });
        expect((await leaseOne(store, them, leaseMs))?.number).toBe(2);
      }),
    );

    test("a cancel of a queued task marks it, twice is once, and whoever ends it ends it once", () =>
      withStores(async (store, other) => {
        await store.intake(aTask(), "h1", never());
        expect(await store.requestCancel(key, 1000, never())).toMatchObject({ state: "QUEUED", cancelRequested: true });
        expect(await other.requestCancel(key, 1000, never())).toMatchObject({ state: "QUEUED", cancelRequested: true });
        const cancelled = aResult({ reason: "cancelled", status: "failed" });
        const unheld = { attempt: 0, owner: null };
        expect(await store.finishUnleased(key, unheld, cancelled, bytes, never())).toBe(true);
        expect(await other.finishUnleased(key, unheld, cancelled, Buffer.from("x"), never())).toBe(false);
        expect(await store.get(key, never())).toMatchObject({
          state: "FINISHED",
          reason: "cancelled",
          resultBytes: bytes,
        });
      }));

    test("a task that was leased meanwhile cannot be ended as one that nobody holds", () =>
      withStores(async (store, other) => {
        await leased(store);
        expect(await other.finishUnleased(key, { attempt: 0, owner: null }, aResult(), bytes, never())).toBe(false);
        expect(await other.finishUnleased(key, { attempt: 1, owner: null }, aResult(), bytes, never())).toBe(false);
        expect((await store.get(key, never()))?.state).toBe("LEASED");
      }));

    test("a task lost with its owner is ended in that owner's name, and the owner then writes nothing", () =>
      withStores(async (store, other) => {
        const attempt = await running(store);
        const lost = aResult({ reason: "worker_lost", status: "failed" });
        expect(await other.finishUnleased(key, { attempt: 1, owner: us }, lost, bytes, never())).toBe(true);
        expect(await store.finish(attempt, aResult(), Buffer.from("late"), never())).toBe(false);
        expect(await store.get(key, never())).toMatchObject({ reason: "worker_lost", resultBytes: bytes });
      }));

    test("a cancel that came before its task waits for it", () =>
      withStores(async (store, other, clock) => {
        expect(await store.requestCancel(key, 1000, never())).toBeNull();
        expect(await store.get(key, never())).toBeNull();
        clock.advance(999);
        await other.intake(aTask(), "h1", never());
        expect((await store.get(key, never()))?.cancelRequested).toBe(true);
      }));

    test("a second cancel never shortens the wait of the first", () =>
      withStores(async (store, other, clock) => {
        await store.requestCancel(key, 1000, never());
        await other.requestCancel(key, 1, never());
        clock.advance(999);
        await store.intake(aTask(), "h1", never());
        expect((await store.get(key, never()))?.cancelRequested).toBe(true);
      }));

    test("a cancel that waited for too long is forgotten", () =>
      withStores(async (store, other, clock) => {
        await store.requestCancel(key, 1000, never());
        clock.advance(1000);
        await other.intake(aTask(), "h1", never());
        expect((await store.get(key, never()))?.cancelRequested).toBe(false);
      }));

    test("lists the newest first, by tenant and state, and no more than asked for", () =>
      withStores(async (store) => {
        await leased(store);
        for (const taskId of ["t-2", "t-3"]) await store.intake(aTask({ task_id: taskId }), "h1", never());
        await store.intake(aTask({ task_id: "t-4", tenant_id: "other" }), "h1", never());
        const ids = async (filter: Parameters<TaskStore["list"]>[0]): Promise<readonly string[]> =>
          (await store.list(filter, never())).map(({ task }) => task.task_id);
        expect(await ids({ limit: 10 })).toEqual(["t-4", "t-3", "t-2", "t-1"]);
        expect(await ids({ limit: 2 })).toEqual(["t-4", "t-3"]);
        expect(await ids({ limit: 10, tenantId: "acme" })).toEqual(["t-3", "t-2", "t-1"]);
        expect(await ids({ limit: 10, states: ["LEASED", "FINISHED"] })).toEqual(["t-1"]);
        expect(await ids({ limit: 10, states: [] })).toEqual([]);
        expect(await ids({ limit: 1, olderThan: { tenantId: "acme", taskId: "t-3" } })).toEqual(["t-2"]);
        expect(await ids({ limit: 10, olderThan: { tenantId: "acme", taskId: "nothing" } })).toEqual([]);
      }));

    test("a call whose signal has aborted does nothing", () =>
      withStores(async (store) => {
        const reason = new Error("enough");
        await expect(store.intake(aTask(), "h1", AbortSignal.abort(reason))).rejects.toBe(reason);
        expect(await store.get(key, never())).toBeNull();
      }));
  });
}
