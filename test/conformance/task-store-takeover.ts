import { describe, expect, test } from "vitest";
import type { Attempt } from "../../src/model/attempt.ts";
import { type TaskKey, type TaskState, taskKey } from "../../src/model/task.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { leaseOne } from "../support/lease-one.ts";
import { onStores } from "../support/on-stores.ts";
import { anOwner, aResult, aTask, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const leaseMs = 10_000;
const dead = anOwner(1);
const successor = anOwner(2);
const bytes = Buffer.from("result");

/** What every task store promises about tasks whose owner is gone, and about cancels that come at any time. */
export function takeoverConformance(name: string, open: OpenTaskStores): void {
  const withStores = onStores(open);

  describe(`${name}: a task whose owner is gone`, () => {
    test("is listed once its lease has run out, the longest ago first, and no more than asked for", () =>
      withStores(async (store, other, clock) => {
        const attempts: Attempt[] = [];
        for (const task_id of ["t-1", "t-2", "t-3", "t-4"]) {
          attempts.push(await brought(store, "RUNNING", task_id));
          clock.advance(1000);
        }
        await store.intake(aTask({ task_id: "queued" }), "h", never());
        const listed = async (limit: number): Promise<readonly string[]> =>
          (await other.listExpired(limit, never())).map(({ task }) => task.task_id);
        clock.advance(leaseMs - 4001);
        expect(await listed(10)).toEqual([]);
        clock.advance(1);
        expect(await listed(10)).toEqual(["t-1"]);
        clock.advance(10_000);
        await store.renew(attemptOf(attempts, 1), leaseMs, never());
        await store.finish(attemptOf(attempts, 3), aResult(), bytes, never());
        expect(await listed(10)).toEqual(["t-1", "t-3"]);
        expect(await listed(1)).toEqual(["t-1"]);
      }));

    test.each(["LEASED", "STARTING", "RUNNING", "COLLECTING"] as const)(
      "is adopted while %s: number, state and sandbox stay, the dead owner writes nothing more",
      (state) =>
        withStores(async (store, other, clock) => {
          const attempt = await brought(store, state);
          const before = await store.get(attempt.key, never());
          clock.advance(3000);
          const adopted = await other.adopt(attempt, successor, leaseMs, never());
          expect(adopted).toEqual({ ...attempt, owner: successor });
          const leaseUntil = clock.now() + leaseMs;
          expect(await store.get(attempt.key, never())).toEqual({ ...before, owner: successor, leaseUntil });
          expect(await store.renew(attempt, leaseMs, never())).toBeNull();
          expect(await store.finish(attempt, aResult(), Buffer.from("late"), never())).toBe(false);
          expect(adopted && (await other.finish(adopted, aResult(), bytes, never()))).toBe(true);
          expect((await store.get(attempt.key, never()))?.resultBytes).toEqual(bytes);
        }),
    );

    test("is adopted once, however many ask", () =>
      withStores(async (store, other) => {
        const attempt = await brought(store, "RUNNING");
        const adoptions = await Promise.all(
          Array.from({ length: 10 }, (_, index) =>
            (index % 2 === 0 ? store : other).adopt(attempt, anOwner(index + 2), leaseMs, never()),
          ),
        );
        expect(adoptions.filter((adopted) => adopted !== null)).toHaveLength(1);
      }));

    test("is not adopted when it was released, leased again, or has ended", () =>
      withStores(async (store, other) => {
        const attempt = await brought(store, "RUNNING");
        await store.release(attempt, false, never());
        expect(await other.adopt(attempt, successor, leaseMs, never())).toBeNull();
        const next = await store.leaseTask(attempt.key, anOwner(3), leaseMs, never());
        expect(await other.adopt(attempt, successor, leaseMs, never())).toBeNull();
        if (next === null) throw new Error("not leased again");
        await store.finish(next, aResult(), bytes, never());
        expect(await other.adopt(next, successor, leaseMs, never())).toBeNull();
        expect((await store.get(attempt.key, never()))?.owner).toBeNull();
      }));

    test.each([
      ["with a strike", true, 1],
      ["without", false, 0],
    ])("is queued again %s, and its next attempt has the next number", (_name, strike, strikes) =>
      withStores(async (store, other) => {
        const attempt = await brought(store, "COLLECTING");
        const seen = { attempt: 1, owner: dead };
        expect(await other.releaseLost(attempt.key, seen, strike, never())).toBe(true);
        expect(await other.releaseLost(attempt.key, seen, strike, never())).toBe(false);
        expect(await store.get(attempt.key, never())).toMatchObject({
          ...{ state: "QUEUED", attempt: 1, strikes, owner: null, leaseUntil: null, sandboxId: null, startedAt: null },
        });
        expect(await store.finish(attempt, aResult(), bytes, never())).toBe(false);
        expect((await leaseOne(other, successor, leaseMs))?.number).toBe(2);
      }),
    );

    test.each<[string, (store: TaskStore, key: TaskKey) => Promise<boolean>]>([
      [
        "queued again",
        (store, key) => store.releaseLost(key, { attempt: 1, owner: dead, leaseExpired: true }, true, never()),
      ],
      [
        "ended",
        (store, key) =>
          store.finishUnleased(key, { attempt: 1, owner: dead, leaseExpired: true }, aResult(), bytes, never()),
      ],
    ])("is %s by its lease only when the store's clock says so, and not when it was renewed", (_name, take) =>
      withStores(async (store, other, clock) => {
        const attempt = await brought(store, "RUNNING");
        clock.advance(leaseMs - 1);
        expect(await take(other, attempt.key)).toBe(false);
        await store.renew(attempt, leaseMs, never());
        clock.advance(leaseMs - 1);
        expect(await take(other, attempt.key)).toBe(false);
        expect((await store.get(attempt.key, never()))?.state).toBe("RUNNING");
        clock.advance(1);
        expect(await take(other, attempt.key)).toBe(true);
        expect(await take(other, attempt.key)).toBe(false);
      }),
    );

    test("a queued task is no lost one", () =>
      withStores(async (store, other) => {
        await store.intake(aTask(), "h1", never());
        expect(await other.releaseLost(taskKey(aTask()), { attempt: 0, owner: null }, true, never())).toBe(false);
        expect((await store.get(taskKey(aTask()), never()))?.strikes).toBe(0);
      }));
  });

  describe(`${name}: a cancel`, () => {
    test.each(["QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING"] as const)(
      "finds its task while it is %s, stays with it through a release, and changes nothing else",
      (state) =>
        withStores(async (store, other) => {
          const attempt = await brought(store, state);
          const before = await store.get(attempt.key, never());
          expect(await other.requestCancel(attempt.key, 1000, never())).toEqual({ ...before, cancelRequested: true });
          if (state !== "QUEUED") await store.release(attempt, false, never());
          expect((await store.get(attempt.key, never()))?.cancelRequested).toBe(true);
        }),
    );

    test("of a finished task finds it finished", () =>
      withStores(async (store, other) => {
        const attempt = await brought(store, "RUNNING");
        await store.finish(attempt, aResult(), bytes, never());
        const before = await store.get(attempt.key, never());
        expect(await other.requestCancel(attempt.key, 1000, never())).toEqual(before);
      }));
  });
}

/** A task of the dead owner's, in this state; the attempt of a queued one is not leased yet. */
async function brought(store: TaskStore, state: Exclude<TaskState, "RECEIVED" | "FINISHED">, taskId = "t-1") {
  const task = aTask({ task_id: taskId });
  await store.intake(task, "h1", never());
  const unleased: Attempt = { key: taskKey(task), number: 0, owner: dead };
  if (state === "QUEUED") return unleased;
  const attempt = await store.leaseTask(taskKey(task), dead, leaseMs, never());
  if (attempt === null) throw new Error("a new task could not be leased");
  const steps = [
    ["STARTING", () => store.starting(attempt, never())],
    ["RUNNING", () => store.running(attempt, "sandbox-1", 5, never())],
    ["COLLECTING", () => store.collecting(attempt, never())],
  ] as const;
  const count = ["LEASED", "STARTING", "RUNNING", "COLLECTING"].indexOf(state);
  for (const [step, take] of steps.slice(0, count)) expect(await take(), step).toBe(true);
  return attempt;
}

function attemptOf(attempts: readonly Attempt[], index: number): Attempt {
  const attempt = attempts[index];
  if (attempt === undefined) throw new Error(`no attempt ${index}`);
  return attempt;
}
