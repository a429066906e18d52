import { describe, expect, test } from "vitest";
import { taskKey } from "../../src/model/task.ts";
import type { QueueBounds, TaskStore } from "../../src/ports/task-store.ts";
import { leaseOne } from "../support/lease-one.ts";
import { anOwner, aResult, aTask, handClock, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const bounds: QueueBounds = { perTenant: 2, inAll: 3 };
const ofTenant = { kind: "full", of: "tenant", maxCount: 2 };
const inAll = { kind: "full", of: "all", maxCount: 3 };

/** What every task store promises about how many tasks may wait. */
export function queueConformance(name: string, open: OpenTaskStores): void {
  const withStores = async (act: (store: TaskStore, other: TaskStore) => Promise<void>): Promise<void> => {
    await using stores = await open(handClock(), bounds);
    await act(stores[0], stores[1]);
  };
  const took = async (store: TaskStore, tenant_id: string, task_id: string): Promise<unknown> =>
    await store.intake(aTask({ tenant_id, task_id }), `h-${task_id}`, never());
  const accepted = { kind: "accepted" };

  describe(`${name}: a queue that is bounded`, () => {
    test("is full for one tenant and open for another, whichever view is asked", () =>
      withStores(async (store, other) => {
        expect(await took(store, "flood", "a")).toEqual(accepted);
        expect(await took(other, "flood", "b")).toEqual(accepted);
        expect(await took(store, "flood", "c")).toEqual(ofTenant);
        expect(await took(other, "small", "a")).toEqual(accepted);
        expect(await store.get({ tenantId: "flood", taskId: "c" }, never())).toBeNull();
      }));

    test("is full for all when as many wait as may in all", () =>
      withStores(async (store) => {
        for (const tenant of ["one", "two", "three"]) expect(await took(store, tenant, "a")).toEqual(accepted);
        expect(await took(store, "four", "a")).toEqual(inAll);
      }));

    test("that is full still knows the tasks that it has: the same request is a duplicate, another a conflict", () =>
      withStores(async (store) => {
        for (const id of ["a", "b"]) await took(store, "flood", id);
        expect(await took(store, "flood", "a")).toMatchObject({ kind: "duplicate" });
        expect(await store.intake(aTask({ tenant_id: "flood", task_id: "a" }), "other", never())).toEqual({
          kind: "conflict",
        });
      }));

    test("has room again when one has begun, and takes back what is released however full it is", () =>
      withStores(async (store) => {
        for (const id of ["a", "b"]) await took(store, "flood", id);
        const attempt = await leaseOne(store, anOwner(), 1000);
        if (attempt === null) throw new Error("nothing was leased");
        expect(await took(store, "flood", "c")).toEqual(accepted);
        expect(await store.release(attempt, false, never())).toBe(true);
        expect(await store.list({ states: ["QUEUED"], limit: 10 }, never())).toHaveLength(3);
        expect(await took(store, "flood", "d")).toEqual(ofTenant);
      }));

    test("does not count what has ended", () =>
      withStores(async (store) => {
        for (const id of ["a", "b", "c", "d"]) {
          expect(await took(store, "flood", id)).toEqual(accepted);
          const key = taskKey(aTask({ tenant_id: "flood", task_id: id }));
          const holder = { attempt: 0, owner: null };
          await store.finishUnleased(key, holder, aResult(), Buffer.from("x"), never());
        }
      }));

    test("takes no more than it may of many that come at once over one view", () =>
      withStores(async (store) => {
        const intakes = await Promise.all(Array.from({ length: 20 }, (_, index) => took(store, "flood", `t-${index}`)));
        const full = intakes.filter((intake) => (intake as { readonly kind: string }).kind === "full");
        // A database decides by what others have committed: as many more as there are connections.
        expect(full.length).toBeGreaterThanOrEqual(20 - bounds.perTenant - 8);
        expect(await took(store, "flood", "late")).toMatchObject({ kind: "full" });
      }));
  });
}
