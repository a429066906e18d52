import { describe, expect, test } from "vitest";
import { taskKey } from "../../src/model/task.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { onStores } from "../support/on-stores.ts";
import { anOwner, aResult, aTask, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const claimMs = 5000;
const url = "https://hooks.example/done?x=1";
const bytes = Buffer.from([0xff, 0x00, 0x7b]);

/** What every task store promises about those who are to be told of an end. */
export function callbackConformance(name: string, open: OpenTaskStores): void {
  const withStores = onStores(open);
  const finished = async (store: TaskStore, task_id: string, callback_url: string | null = url): Promise<void> => {
    await store.intake(aTask({ task_id, callback_url }), `h-${task_id}`, never());
    const attempt = await store.leaseTask(taskKey(aTask({ task_id })), anOwner(), 1000, never());
    if (attempt === null) throw new Error("not leased");
    expect(await store.finish(attempt, aResult({ task_id }), bytes, never())).toBe(true);
  };
  const claimed = async (store: TaskStore, limit = 10): Promise<readonly string[]> =>
    (await store.claimCallbacks(limit, claimMs, never())).map(({ key, tries }) => `${key.taskId} ${tries}`);

  describe(`${name}: callbacks`, () => {
    test("there is one for a task that ended and wants it, with its result, and no relay gets it", () =>
      withStores(async (store, other, clock) => {
        await finished(store, "t-1");
        await finished(store, "t-2", null);
        expect(await other.claimCallbacks(10, claimMs, never())).toEqual([
          { id: expect.any(Number), key: taskKey(aTask()), url, value: bytes, tries: 1, createdAt: clock.now() },
        ]);
        const kinds = (await store.claimOutbox(10, claimMs, never())).map(({ kind, key }) => `${kind} ${key?.taskId}`);
        expect(kinds).toEqual(["result t-1", "result t-2"]);
      }));

    test("one of a task that ended in the queue comes too, and a task that did not end has none", () =>
      withStores(async (store) => {
        await store.intake(aTask({ callback_url: url }), "h1", never());
        expect(await claimed(store)).toEqual([]);
        const holder = { attempt: 0, owner: null };
        await store.finishUnleased(taskKey(aTask()), holder, aResult(), bytes, never());
        expect(await claimed(store)).toEqual(["t-1 1"]);
      }));

    test("a second end, and a result that is sent again, make no second one", () =>
      withStores(async (store) => {
        await finished(store, "t-1");
        const holder = { attempt: 1, owner: null };
        expect(await store.finishUnleased(taskKey(aTask()), holder, aResult(), bytes, never())).toBe(false);
        await store.republish(taskKey(aTask()), never());
        expect(await claimed(store)).toEqual(["t-1 1"]);
      }));

    test("is one claim's at a time; what is not followed up is anybody's again, with one more try", () =>
      withStores(async (store, other, clock) => {
        for (const id of ["t-1", "t-2", "t-3"]) await finished(store, id);
        expect(await claimed(store, 2)).toEqual(["t-1 1", "t-2 1"]);
        expect(await claimed(other)).toEqual(["t-3 1"]);
        expect(await claimed(other)).toEqual([]);
        clock.advance(claimMs);
        expect([...(await claimed(other))].sort()).toEqual(["t-1 2", "t-2 2", "t-3 2"]);
      }));

    test("is due again after its delay, and never again once it was brought there", () =>
      withStores(async (store, other, clock) => {
        await finished(store, "t-1");
        const [row] = await store.claimCallbacks(1, claimMs, never());
        const id = row?.id ?? 0;
        expect(await store.callbackLater(id, 1, 60_000, never())).toBe(true);
        clock.advance(59_999);
        expect(await claimed(other)).toEqual([]);
        clock.advance(1);
        expect(await claimed(other)).toEqual(["t-1 2"]);
        await other.markPublished([id], never());
        clock.advance(1_000_000);
        expect(await claimed(store)).toEqual([]);
      }));

    test("of a try that is no longer the last nothing counts any more", () =>
      withStores(async (store, _other, clock) => {
        await finished(store, "t-1");
        const [row] = await store.claimCallbacks(1, claimMs, never());
        const id = row?.id ?? 0;
        clock.advance(claimMs);
        expect(await claimed(store)).toEqual(["t-1 2"]);
        expect(await store.callbackLater(id, 1, 0, never())).toBe(false);
        expect(await store.callbackDead(id, 1, {}, never())).toBe(false);
        expect(await store.callbackLater(id, 2, 0, never())).toBe(true);
      }));

    test("one that is given up is a dead letter with the result's bytes, for the relay", () =>
      withStores(async (store, other) => {
        await finished(store, "t-1");
        const [row] = await store.claimCallbacks(1, claimMs, never());
        const headers = { "dlq-reason": "internal", "dlq-stage": "callback" };
        expect(await store.callbackDead(row?.id ?? 0, 1, headers, never())).toBe(true);
        expect(await claimed(store)).toEqual([]);
        const letters = (await other.claimOutbox(10, claimMs, never())).filter(({ kind }) => kind === "dead_letter");
        expect(letters).toEqual([expect.objectContaining({ key: taskKey(aTask()), headers, value: bytes })]);
      }));

    test("does not count as a message that waits for the transport", () =>
      withStores(async (store, _other, clock) => {
        await finished(store, "t-1");
        const ids = (await store.claimOutbox(10, claimMs, never())).map(({ id }) => id);
        await store.markPublished(ids, never());
        clock.advance(5);
        expect(await store.outboxAgeMs(never())).toBeNull();
      }));
  });
}
