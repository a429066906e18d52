import { describe, expect, test } from "vitest";
import type { Task } from "../../src/model/task.ts";
import { taskKey } from "../../src/model/task.ts";
import type { Beginning, Intake, TaskStore } from "../../src/ports/task-store.ts";
import { leaseOne } from "../support/lease-one.ts";
import { onStores } from "../support/on-stores.ts";
import { anOwner, aResult, aTask, handClock, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const key = taskKey(aTask());
const [us, them] = [anOwner(1), anOwner(2)];
const beginning: Beginning = { owner: us, leaseMs: 10_000, sandboxId: "sandbox-1", deadlineAt: 77 };
const bytes = Buffer.from('{"answer": 42}\n');

/** What every task store promises of tasks that begin in the write that takes them in. */
export function atOnceConformance(name: string, open: OpenTaskStores): void {
  const withStores = onStores(open);
  const begun = async (store: TaskStore, task: Partial<Task> = {}): Promise<Intake> =>
    await store.intake(aTask(task), `h-${task.task_id ?? ""}`, never(), beginning);
  const inAMinute = (clock: ReturnType<typeof handClock>): string => new Date(clock.now() + 60_000).toISOString();

  describe(`${name}: a task that begins at once`, () => {
    test("runs under its first attempt, and both views see it so", () =>
      withStores(async (store, other, clock) => {
        const record = {
          ...{ task: aTask(), requestSha256: "h-", state: "RUNNING", attempt: 1, strikes: 0, owner: us },
          ...{
            leaseUntil: clock.now() + 10_000,
            cancelRequested: false,
            receivedAt: clock.now(),
            startedAt: clock.now(),
          },
          ...{ finishedAt: null, sandboxId: "sandbox-1", resultBytes: null, reason: null },
        };
        const attempt = { key, number: 1, owner: us };
        expect(await begun(store)).toEqual({ kind: "accepted", begun: { attempt, record } });
        expect(await other.get(key, never())).toEqual(record);
        expect(await leaseOne(other, them, 1000)).toBeNull();
      }));

    test("ends, is given back, and is taken over as any other that runs", () =>
      withStores(async (store, other) => {
        await begun(store, { task_id: "ends" });
        const held = (taskId: string) => ({ key: { ...key, taskId }, number: 1, owner: us });
        expect(await store.collecting(held("ends"), never())).toBe(true);
        expect(await store.finish(held("ends"), aResult(), bytes, never())).toBe(true);
        expect(await store.claimOutbox(10, 1000, never())).toMatchObject([{ kind: "result", value: bytes }]);
        await begun(store, { task_id: "adopted" });
        expect(await other.adopt(held("adopted"), them, 1000, never())).toMatchObject({ number: 1, owner: them });
        expect(await store.finish(held("adopted"), aResult(), bytes, never())).toBe(false);
        await begun(store, { task_id: "given back" });
        expect(await store.release(held("given back"), true, never())).toBe(true);
        expect(await leaseOne(other, them, 1000)).toMatchObject({ key: { taskId: "given back" }, number: 2 });
      }));

    test("is known when it comes again, and another request under its id is a conflict", () =>
      withStores(async (store, other) => {
        await begun(store);
        const again = { ...beginning, sandboxId: "sandbox-2" };
        expect(await other.intake(aTask(), "h-", never(), again)).toMatchObject({
          ...{ kind: "duplicate", record: { state: "RUNNING", attempt: 1, sandboxId: "sandbox-1" } },
        });
        expect(await other.intake(aTask(), "another", never(), again)).toEqual({ kind: "conflict" });
      }));

    test("of a hundred at once is one", () =>
      withStores(async (store, other) => {
        const intakes = await Promise.all(
          Array.from({ length: 100 }, (_, index) =>
            (index % 2 === 0 ? store : other).intake(aTask(), "h", never(), { ...beginning, sandboxId: `s-${index}` }),
          ),
        );
        const [first, ...more] = intakes.filter((intake) => intake.kind === "accepted");
        expect(more).toEqual([]);
        expect(intakes.filter(({ kind }) => kind === "duplicate")).toHaveLength(99);
        const record = await store.get(key, never());
        expect(first).toMatchObject({ begun: { record: { sandboxId: record?.sandboxId } } });
      }));

    test("does not while another waits, whoever's it is, and does again when that has begun", () =>
      withStores(async (store, other) => {
        await other.intake(aTask({ tenant_id: "another", task_id: "first" }), "h", never());
        expect(await begun(store, { task_id: "second" })).toEqual({ kind: "accepted" });
        expect(await store.get({ ...key, taskId: "second" }, never())).toMatchObject({
          ...{ state: "QUEUED", attempt: 0, owner: null, leaseUntil: null, sandboxId: null, startedAt: null },
        });
        await leaseOne(store, them, 1000);
        await leaseOne(store, them, 1000);
        expect(await begun(store, { task_id: "third" })).toMatchObject({ begun: { attempt: { number: 1 } } });
      }));

    test("does not before its own time, and what waits for its time is in nobody's way until then", () =>
      withStores(async (store, _other, clock) => {
        expect(await begun(store, { task_id: "later", not_before: inAMinute(clock) })).toEqual({ kind: "accepted" });
        expect(await begun(store, { task_id: "now" })).toMatchObject({ begun: { attempt: { number: 1 } } });
        clock.advance(60_001);
        expect(await begun(store, { task_id: "behind" })).toEqual({ kind: "accepted" });
      }));

    test("does not where more than a few wait for their time", () =>
      withStores(async (store, _other, clock) => {
        const not_before = inAMinute(clock);
        for (let index = 0; index < 100; index += 1)
          await store.intake(aTask({ task_id: `later-${index}`, not_before }), "h", never());
        expect(await begun(store, { task_id: "now" })).toEqual({ kind: "accepted" });
      }));

    test("does not when a cancel came first", () =>
      withStores(async (store, other) => {
        await other.requestCancel(key, 60_000, never());
        expect(await begun(store)).toEqual({ kind: "accepted" });
        expect(await store.get(key, never())).toMatchObject({ state: "QUEUED", cancelRequested: true });
      }));

    test("is found by a cancel that comes in the same moment, or finds it", () =>
      withStores(async (store, other) => {
        for (let index = 0; index < 50; index += 1) {
          const task_id = `t-${index}`;
          await Promise.all([
            begun(store, { task_id }),
            other.requestCancel({ ...key, taskId: task_id }, 60_000, never()),
          ]);
          const isAsked = async () => (await store.get({ ...key, taskId: task_id }, never()))?.cancelRequested;
          await expect.poll(isAsked, { timeout: 5000 }).toBe(true);
        }
      }));
  });

  test(`${name}: nothing begins at once where the queue is full`, async () => {
    await using stores = await open(handClock(), { perTenant: 1, inAll: 1 });
    await stores[0].intake(aTask({ task_id: "first" }), "h", never());
    expect(await begun(stores[1], { task_id: "second" })).toMatchObject({ kind: "full" });
    await leaseOne(stores[0], them, 1000);
    expect(await begun(stores[1], { task_id: "third" })).toMatchObject({ begun: { attempt: { number: 1 } } });
    expect(await begun(stores[1], { task_id: "fourth" })).toMatchObject({ begun: { attempt: { number: 1 } } });
  });
}
