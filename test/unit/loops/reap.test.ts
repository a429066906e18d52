import { describe, expect, test } from "vitest";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { type Adoption, judge, type ReapPorts, reapOnce } from "../../../src/loops/reap.ts";
import type { Owner, OwnerState } from "../../../src/model/owner.ts";
import { type Task, taskKey } from "../../../src/model/task.ts";
import type { Clock } from "../../../src/ports/clock.ts";
import type { OwnedObject } from "../../../src/ports/sandbox-inventory.ts";
import type { ScratchFolder } from "../../../src/ports/scratch.ts";
import type { TaskRecord, TaskStore } from "../../../src/ports/task-store.ts";
import { aResult, aTask } from "../../support/samples.ts";

const never = new AbortController().signal;
const now = 1_700_000_000_000;
const clock: Clock = { now: () => now, monotonicMs: () => 0 };
const maxAgeMs = 60_000;

const ownerOf = (pid: number): Owner => ({ host: "a", boot: "b", pid, start: 1 });
const self = ownerOf(1);
const living = ownerOf(2);
const dead = ownerOf(3);
const elsewhere = ownerOf(4);

const stateOf = async (owner: Owner): Promise<OwnerState> =>
  owner.pid === dead.pid ? "dead" : owner.pid === elsewhere.pid ? "elsewhere" : "alive";

test.each<[string, OwnerState | null, number, string]>([
  ["what a living owner holds is spared", "alive", now, "spare"],
  ["age condemns nothing of a living owner's", "alive", 0, "spare"],
  ["what a dead owner left goes at once", "dead", now, "remove"],
  ["what an owner elsewhere made stays for its time", "elsewhere", now - maxAgeMs + 1, "leave"],
  ["and goes after it", "elsewhere", now - maxAgeMs, "remove"],
  ["a clock that is ahead condemns nothing", "elsewhere", now + 1_000_000, "leave"],
  ["an unreadable owner is nobody's to judge, however old", null, 0, "leave"],
])("%s", (_name, owner, createdAt, kind) => {
  expect(judge(createdAt, owner, now, maxAgeMs).kind).toBe(kind);
});

const object = (id: string, owner: Owner | null, kind: OwnedObject["kind"] = "container", ageMs = 0): OwnedObject => ({
  id,
  owner,
  kind,
  createdAt: now - ageMs,
});

/** Ports over plain lists; what is removed goes from them. */
function ports(
  objects: OwnedObject[],
  folders: ScratchFolder[] = [],
  store: TaskStore = memoryTaskStore(clock),
  stuck: readonly string[] = [],
): ReapPorts & { readonly steps: string[] } {
  const steps: string[] = [];
  return {
    steps,
    clock,
    maxAgeMs,
    store,
    mayRunAgain: null,
    isUnderWay: () => false,
    adopt: null,
    mayBeAdopted: () => false,
    concludeLost: (record) => {
      const result = aResult({ task_id: record.task.task_id, reason: "worker_lost", status: "failed" });
      steps.push(`end ${record.task.task_id}`);
      return { result, bytes: Buffer.from(JSON.stringify(result)) };
    },
    inventory: {
      list: async () => [...objects],
      async remove({ id }) {
        if (stuck.includes(id)) throw new Error(`${id} will not go`);
        steps.push(`remove ${id}`);
        objects.splice(
          objects.findIndex((each) => each.id === id),
          1,
        );
      },
    },
    scratch: {
      make: () => Promise.reject(new Error("not here")),
      take: () => Promise.reject(new Error("not here")),
      list: async () => [...folders],
      async remove(path) {
        steps.push(`remove ${path}`);
        folders.splice(
          folders.findIndex((each) => each.path === path),
          1,
        );
      },
    },
    liveness: {
      self,
      stateOf,
      poke: async () => undefined,
      sweep: async () => 3,
      standInFor: async () => ({ [Symbol.asyncDispose]: async () => undefined }),
      onPoke: () => () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    },
  };
}

describe("one pass of the reaper", () => {
  test("removes what the dead left and nothing else, and tells what it did", async () => {
    const objects = [
      object("ours", self),
      object("theirs", living),
      object("orphan", dead),
      object("orphan-net", dead, "network"),
      object("orphan-vol", dead, "volume"),
      object("far", elsewhere),
      object("far-old", elsewhere, "container", maxAgeMs),
      object("forged", null, "container", maxAgeMs * 10),
    ];
    const folders: ScratchFolder[] = [
      { path: "/s/ours", owner: self, createdAt: now },
      { path: "/s/orphan", owner: dead, createdAt: now },
      { path: "/s/half-made", owner: null, createdAt: now },
      { path: "/s/half-made-long-ago", owner: null, createdAt: now - maxAgeMs },
    ];
    const report = await reapOnce(ports(objects, folders), never);
    expect(objects.map(({ id }) => id)).toEqual(["ours", "theirs", "far", "forged"]);
    expect(folders.map(({ path }) => path)).toEqual(["/s/ours", "/s/half-made"]);
    expect(report).toMatchObject({
      removed: { containers: 2, networks: 1, volumes: 1, directories: 2, sockets: 3 },
      ended: 0,
      spared: 3,
    });
    expect(report.left.map(({ id }) => id)).toEqual(["far", "forged", "/s/half-made"]);
  });

  test("finds nothing to do a second time", async () => {
    const shared = ports([object("orphan", dead)], [{ path: "/s/orphan", owner: dead, createdAt: now }]);
    await reapOnce(shared, never);
    shared.steps.length = 0;
    const { removed } = await reapOnce(shared, never);
    expect({ ...removed, sockets: 0 }).toEqual({ containers: 0, networks: 0, volumes: 0, directories: 0, sockets: 0 });
    expect(shared.steps).toEqual([]);
  });

  test("reports what will not go, and goes on", async () => {
    const objects = [object("stuck", dead), object("orphan", dead)];
    const report = await reapOnce(ports(objects, [], memoryTaskStore(clock), ["stuck"]), never);
    expect(report.removed.containers).toBe(1);
    expect(report.left).toEqual([{ id: "stuck", why: "stuck will not go" }]);
  });

  test("stops when it is told to", async () => {
    const shared = ports([object("stuck", dead)], [], memoryTaskStore(clock), ["stuck"]);
    await expect(reapOnce(shared, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});

describe("the tasks of our own store", () => {
  const leased = async (store: TaskStore, taskId: string, owner: Owner, leaseMs: number): Promise<void> => {
    const task = aTask({ task_id: taskId });
    await store.intake(task, "0".repeat(64), never);
    await store.leaseTask(taskKey(task), owner, leaseMs, never);
  };

  test("end when their owner is dead, between its containers and its folders, and once", async () => {
    const store = memoryTaskStore(clock);
    await leased(store, "lost", dead, 60_000);
    const shared = ports([object("orphan", dead)], [{ path: "/s/orphan", owner: dead, createdAt: now }], store);
    expect((await reapOnce(shared, never)).ended).toBe(1);
    expect(shared.steps).toEqual(["remove orphan", "end lost", "remove /s/orphan"]);
    expect(await store.get({ tenantId: "acme", taskId: "lost" }, never)).toMatchObject({
      state: "FINISHED",
      reason: "worker_lost",
    });
    expect((await reapOnce(shared, never)).ended).toBe(0);
  });

  test.each<[string, Owner, number, number]>([
    ["a living owner's goes on", living, 60_000, 0],
    ["a living owner's goes on though its lease has ended", living, -1, 0],
    ["our own goes on", self, 60_000, 0],
    ["an owner's elsewhere goes on while its lease lasts", elsewhere, 60_000, 0],
    ["an owner's elsewhere ends when its lease has", elsewhere, -1, 1],
  ])("%s", async (_name, owner, leaseMs, ended) => {
    const store = memoryTaskStore(clock);
    await leased(store, "task", owner, leaseMs);
    expect((await reapOnce(ports([], [], store), never)).ended).toBe(ended);
  });

  test("a lease is judged by the clock of the store, not by ours", async () => {
    const store = memoryTaskStore({ ...clock, now: () => now - 3_600_000 });
    await leased(store, "task", elsewhere, 60_000);
    expect((await reapOnce(ports([], [], store), never)).ended).toBe(0);
  });

  test.each<[string, Adoption, string[], object]>([
    ["that can be gone on with is, and its sandbox stays", { kind: "adopted" }, [], { adopted: 1, ended: 0 }],
    ["that another was quicker with is left to it", { kind: "another" }, [], { adopted: 0, ended: 0, spared: 1 }],
    [
      "that nobody can go on with is settled for who has it now, after its sandbox",
      { kind: "lost", holder: { attempt: 1, owner: self }, wasStarted: true, deaths: 1 },
      ["remove box", "end task"],
      { adopted: 0, ended: 1 },
    ],
    [
      "that was never given its command is queued again without a strike",
      { kind: "lost", holder: { attempt: 1, owner: self }, wasStarted: false, deaths: 1 },
      ["remove box"],
      { requeued: 1 },
    ],
  ])("one of a dead owner %s", async (_name, adoption, steps, report) => {
    const store = memoryTaskStore(clock);
    await leased(store, "task", dead, 60_000);
    const attempt = { key: { tenantId: "acme", taskId: "task" }, number: 1, owner: dead };
    await store.starting(attempt, never);
    await store.running(attempt, "box", now, never);
    const shared = ports([object("box", dead)], [], store);
    const adopt = async (): Promise<Adoption> => {
      await store.adopt(attempt, adoption.kind === "another" ? living : self, 60_000, never);
      return adoption;
    };
    const underWay = { isUnderWay: () => true, mayRunAgain: () => false };
    expect(await reapOnce({ ...shared, ...underWay, adopt }, never)).toMatchObject(report);
    expect(shared.steps).toEqual(steps);
    expect((await store.get(attempt.key, never))?.strikes).toBe(0);
  });

  test("a sandbox of the freshly dead that our store does not know is left to who may go on with it", async () => {
    const shared = ports([object("box", dead)]);
    expect(await reapOnce({ ...shared, mayBeAdopted: () => true }, never)).toMatchObject({ left: [{ id: "box" }] });
    expect((await reapOnce(shared, never)).removed.containers).toBe(1);
  });

  test("what a dead owner kept ready goes with the pass that takes over its tasks, what it made meanwhile too", async () => {
    const store = memoryTaskStore(clock);
    await leased(store, "task", dead, 60_000);
    const attempt = { key: { tenantId: "acme", taskId: "task" }, number: 1, owner: dead };
    await store.starting(attempt, never);
    await store.running(attempt, "box", now, never);
    const objects = [object("box", dead), object("ready", dead)];
    const shared = ports(objects, [], store);
    const adopt = async (): Promise<Adoption> => {
      await store.adopt(attempt, self, 60_000, never);
      objects.push(object("late", dead));
      return { kind: "adopted" };
    };
    const report = await reapOnce({ ...shared, adopt, mayBeAdopted: () => true }, never);
    expect(objects.map(({ id }) => id)).toEqual(["box"]);
    expect(report).toMatchObject({ adopted: 1, removed: { containers: 2 }, left: [] });
  });

  test("of an owner that was not yet dead when the store was read nothing is taken for unused", async () => {
    const store = memoryTaskStore(clock);
    await leased(store, "task", dead, 60_000);
    const attempt = { key: { tenantId: "acme", taskId: "task" }, number: 1, owner: dead };
    await store.starting(attempt, never);
    await store.running(attempt, "box", now, never);
    // Its only object comes while the pass is at it; so it was not looked at before.
    const objects: OwnedObject[] = [];
    const shared = ports(objects, [], store);
    const adopt = async (): Promise<Adoption> => {
      await store.adopt(attempt, self, 60_000, never);
      objects.push(object("box", dead), object("of a task", dead));
      return { kind: "adopted" };
    };
    const report = await reapOnce({ ...shared, adopt, mayBeAdopted: () => true }, never);
    expect(report.left.map(({ id }) => id)).toEqual(["of a task"]);
  });

  test("one that waits for its turn is left alone", async () => {
    const store = memoryTaskStore(clock);
    await store.intake(aTask(), "0".repeat(64), never);
    expect((await reapOnce(ports([], [], store), never)).ended).toBe(0);
  });

  test.each<[string, Partial<Task>, number, number]>([
    ["one that may run again is queued again, with a strike", {}, 0, 1],
    ["one that may not ends", { retry: "unsafe" }, 1, 0],
  ])("where others lease: %s", async (_name, differences, ended, requeued) => {
    const store = memoryTaskStore(clock);
    await store.intake(aTask(differences), "0".repeat(64), never);
    await store.leaseTask(taskKey(aTask()), dead, 60_000, never);
    const mayRunAgain = ({ task }: TaskRecord): boolean => task.retry === "safe";
    expect(await reapOnce({ ...ports([], [], store), mayRunAgain }, never)).toMatchObject({ ended, requeued });
    const record = await store.get(taskKey(aTask()), never);
    expect(record).toMatchObject({ strikes: requeued, owner: null, state: ended > 0 ? "FINISHED" : "QUEUED" });
  });

  test.each([
    ["one of ours whose lease is over and that we are not at", false, 1],
    ["one of ours whose lease is over, but that we are at", true, 0],
  ])("%s", async (_name, underWay, ended) => {
    const store = memoryTaskStore(clock);
    await leased(store, "task", self, -1);
    const report = await reapOnce({ ...ports([], [], store), isUnderWay: () => underWay }, never);
    expect(report.ended).toBe(ended);
  });
});
