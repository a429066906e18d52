import { describe, expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { frontOf } from "../../../src/app/front.ts";
import { pulse } from "../../../src/app/pulse.ts";
import type { SpoolEntry } from "../../../src/model/spool-entry.ts";
import { taskKey } from "../../../src/model/task.ts";
import { toolCatalog } from "../../../src/tools/catalog.ts";
import { faultyStore } from "../../support/faulty-store.ts";
import { anOwner, aResult, aTask, never } from "../../support/samples.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const key = taskKey(aTask());
const attempt = { key, number: 2, owner: anOwner() };

function frontWith(entry: SpoolEntry | null) {
  const faulty = faultyStore(memoryTaskStore(clock));
  const front = frontOf({
    archive: { store: faulty.store, objects: memoryObjectStore() },
    catalog: async () => toolCatalog([]),
    liveness: () => Promise.reject(new Error("nobody is woken")),
    sandboxRoot: "/nowhere",
    pulse: null,
    isKept: () => false,
    waiting: async () => (entry === null ? null : { entry, putAt: 1_767_225_600_000 }),
  });
  return { front, faulty };
}

test("a call that waits for a store that is away is told of as it is", async () => {
  const { front, faulty } = frontWith({ kind: "intake", task: aTask(), requestSha256: "a", askedAt: null });
  faulty.set("away");
  expect(await front.get(key, 0, never())).toEqual({
    summary: expect.objectContaining({ task_id: "t-1", state: "RECEIVED", received_at: "2026-01-01T00:00:00.000Z" }),
    resultBytes: null,
  });
});

test.each([0, 50])(
  "a call that still waits once the store is back is told of as it is, asked with ?wait of %d ms too",
  async (waitMs) => {
    const { front } = frontWith({ kind: "intake", task: aTask(), requestSha256: "a", askedAt: null });
    expect(await front.get(key, waitMs, never())).toMatchObject({ summary: { state: "RECEIVED" }, resultBytes: null });
  },
);

test("a call that is put into the store while it is looked for where it waits is found", async () => {
  const store = memoryTaskStore(clock);
  const front = frontOf({
    archive: { store, objects: memoryObjectStore() },
    catalog: async () => toolCatalog([]),
    liveness: () => Promise.reject(new Error("nobody is woken")),
    sandboxRoot: "/nowhere",
    pulse: null,
    isKept: () => false,
    waiting: async () => {
      await store.intake(aTask(), "h1", never());
      return null;
    },
  });
  expect(await front.get(key, 0, never())).toMatchObject({ summary: { state: "QUEUED" } });
});

test.each<[string, SpoolEntry, string]>([
  ["an end", { kind: "finish", attempt, resultBytes: Buffer.from("{}") }, "attempt 2 has ended, and its result waits"],
  ["an attempt given back", { kind: "release", attempt, strike: false }, "attempt 2 was given back to the queue"],
])(
  "of %s that waits it is said that it does, and no more: what counts is the store's to say",
  async (_name, entry, said) => {
    const { front, faulty } = frontWith(entry);
    faulty.set("away");
    await expect(front.get(key, 0, never())).rejects.toMatchObject({
      ...{ away: "store", message: expect.stringContaining("no answer") },
      details: [{ path: "/state", message: expect.stringContaining(said) }],
    });
  },
);

test("of what does not wait, and of a store that bars us, it is said why it cannot be told", async () => {
  const { front, faulty } = frontWith(null);
  faulty.set("away");
  await expect(front.get(key, 0, never())).rejects.toMatchObject({ away: "store", isBarred: false, details: [] });
  faulty.set("barred");
  await expect(front.get(key, 0, never())).rejects.toMatchObject({ away: "store", isBarred: true });
});

describe("who waits for a task that runs in this process", () => {
  const bytes = Buffer.from("the result");
  const heard = { kind: "result", result: { ...aResult(), attempt: 2 }, bytes } as const;

  /** A front on a store that is away, and the pulse of the tasks that run beside it. */
  async function listening(isKept: boolean) {
    const faulty = faultyStore(memoryTaskStore(clock));
    const live = pulse();
    const front = frontOf({
      archive: { store: faulty.store, objects: memoryObjectStore() },
      catalog: async () => toolCatalog([]),
      liveness: () => Promise.reject(new Error("nobody is woken")),
      sandboxRoot: "/nowhere",
      pulse: live,
      isKept: ({ number }) => isKept && number === 2,
      waiting: null,
    });
    await faulty.store.intake(aTask(), "h1", never());
    faulty.set("away");
    const waiting = front.get(key, 60_000, never(), true);
    const ends = (): void => {
      live.beat(key, heard);
      live.beat(key, { kind: "state", state: "FINISHED" });
    };
    return { faulty, waiting, ends };
  }

  test("has the result when it is stored, without a look at the store", async () => {
    const { faulty, waiting, ends } = await listening(false);
    ends();
    expect(await waiting).toEqual({ reason: "ok", resultBytes: bytes });
    expect(faulty.calls).toEqual(["intake"]);
  });

  test("does not have one that waits for the store: whether that counts is not known yet", async () => {
    const { faulty, waiting, ends } = await listening(true);
    ends();
    await expect.poll(() => faulty.calls.length, { timeout: 10_000 }).toBeGreaterThan(2);
    faulty.set(null);
    const attempt = await faulty.store.leaseTask(key, anOwner(), 60_000, never());
    if (attempt === null) throw new Error("not leased");
    await faulty.store.finish(attempt, aResult(), Buffer.from("what counts"), never());
    expect((await waiting)?.resultBytes?.toString()).toBe("what counts");
  });
});

test("whoever waits for a result waits through an outage, and no longer than they asked for", async () => {
  const { front, faulty } = frontWith(null);
  await faulty.store.intake(aTask(), "h1", never());
  const leased = await faulty.store.leaseTask(key, anOwner(), 60_000, never());
  if (leased === null) throw new Error("not leased");
  faulty.set("away");
  const waiting = front.get(key, 60_000, never());
  const asked = faulty.calls.length;
  await expect.poll(() => faulty.calls.length, { timeout: 10_000 }).toBeGreaterThan(asked);
  faulty.set(null);
  await faulty.store.finish(leased, aResult(), Buffer.from("the result"), never());
  expect((await waiting)?.resultBytes?.toString()).toBe("the result");
  faulty.set("away");
  await expect(front.get(key, 1, never())).rejects.toMatchObject({ away: "store" });
});
