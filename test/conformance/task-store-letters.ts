import { describe, expect, test } from "vitest";
import { taskKey } from "../../src/model/task.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { anOwner, aResult, aTask, handClock, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

/** What every task store promises about its dead letters. */
export function letterConformance(name: string, open: OpenTaskStores): void {
  const withStores = async (act: (store: TaskStore, other: TaskStore) => Promise<void>): Promise<void> => {
    await using stores = await open(handClock());
    await act(stores[0], stores[1]);
  };
  const dead = async (store: TaskStore, tenant_id: string, task_id: string): Promise<void> => {
    const task = aTask({ tenant_id, task_id });
    await store.intake(task, "h", never());
    const attempt = await store.leaseTask(taskKey(task), anOwner(), 1000, never());
    if (attempt === null) throw new Error("not leased");
    await store.finish(attempt, aResult({ reason: "sandbox", status: "failed" }), Buffer.from("result"), never());
  };
  const listed = async (store: TaskStore, filter: object = {}): Promise<readonly string[]> =>
    (await store.listLetters({ limit: 10, ...filter }, never())).map(({ key }) => key?.taskId ?? "-");

  describe(`${name}: dead letters`, () => {
    test("are listed newest first, of one tenant or of all, in pages, sent or not", () =>
      withStores(async (store, other) => {
        for (const id of ["a", "b", "c"]) await dead(store, "acme", id);
        await dead(store, "other", "d");
        const ids = (await store.claimOutbox(10, 1000, never())).map(({ id }) => id);
        await store.markPublished(ids, never());
        expect(await listed(other)).toEqual(["d", "c", "b", "a"]);
        expect(await listed(other, { tenantId: "acme", limit: 2 })).toEqual(["c", "b"]);
        const last = (await other.listLetters({ tenantId: "acme", limit: 2 }, never())).at(-1);
        expect(await listed(other, { tenantId: "acme", olderThan: last?.id ?? 0 })).toEqual(["a"]);
        expect(await listed(other, { tenantId: "nobody" })).toEqual([]);
      }));

    test("of a task has its request and why, and is found by its id alone", () =>
      withStores(async (store, other) => {
        await dead(store, "acme", "a");
        const [head] = await store.listLetters({ limit: 1 }, never());
        const headers = { "dlq-reason": "sandbox", "dlq-stage": "execute", "dlq-attempts": "1" };
        expect(head).toMatchObject({ key: { tenantId: "acme", taskId: "a" }, headers });
        const letter = await other.getLetter(head?.id ?? 0, never());
        expect(letter).toMatchObject({ ...head, kind: "dead_letter" });
        expect(JSON.parse(letter?.value.toString() ?? "")).toEqual(aTask({ tenant_id: "acme", task_id: "a" }));
        expect(await store.getLetter(1_000_000, never())).toBeNull();
        // The row before it is the result's, and no letter.
        expect(await store.getLetter((head?.id ?? 0) - 1, never())).toBeNull();
      }));

    test("that was sent already is kept with its bytes, for the task it names or for none, and is not sent again", () =>
      withStores(async (store, other) => {
        const value = Buffer.from([0x00, 0xff]);
        await store.keepLetter(null, { "dlq-reason": "validation" }, value, never());
        await store.keepLetter({ tenantId: "acme", taskId: "x" }, { "dlq-reason": "conflict" }, value, never());
        expect(await other.claimOutbox(10, 1000, never())).toEqual([]);
        expect(await listed(other)).toEqual(["x", "-"]);
        expect(await listed(other, { tenantId: "acme" })).toEqual(["x"]);
        const [head] = await other.listLetters({ limit: 1 }, never());
        expect(await other.getLetter(head?.id ?? 0, never())).toMatchObject({
          key: { tenantId: "acme", taskId: "x" },
          headers: { "dlq-reason": "conflict" },
          value,
        });
      }));

    test("of a callback makes it due again, from its first try; any other letter does not", () =>
      withStores(async (store, other) => {
        const task = aTask({ callback_url: "https://hooks.example/" });
        await store.intake(task, "h", never());
        const holder = { attempt: 0, owner: null };
        await store.finishUnleased(taskKey(task), holder, aResult(), Buffer.from("result"), never());
        const [row] = await store.claimCallbacks(1, 1000, never());
        const id = row?.id ?? 0;
        expect(await store.callbackAgain(id, never())).toBe(false);
        await store.callbackDead(id, 1, { "dlq-reason": "internal", "dlq-stage": "callback" }, never());
        expect(await other.getLetter(id, never())).toMatchObject({ value: Buffer.from("result") });
        await store.markPublished([id], never());
        expect(await other.callbackAgain(id, never())).toBe(true);
        expect(await other.callbackAgain(id, never())).toBe(false);
        expect(await store.getLetter(id, never())).toBeNull();
        expect(await store.claimCallbacks(1, 1000, never())).toMatchObject([{ id, tries: 1 }]);

        await dead(store, "acme", "a");
        await store.keepLetter(taskKey(task), { "dlq-stage": "intake" }, Buffer.from("x"), never());
        for (const letter of await store.listLetters({ limit: 10 }, never()))
          expect(await store.callbackAgain(letter.id, never())).toBe(false);
      }));
  });
}
