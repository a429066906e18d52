import { describe, expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import type { Parts } from "../../../src/executor/parts.ts";
import { fairSlots } from "../../../src/executor/slots.ts";
import { bell } from "../../../src/loops/bell.ts";
import { giveUpReason, schedule } from "../../../src/loops/schedule.ts";
import { ExecutorError, type Reason } from "../../../src/model/failure.ts";
import { taskKey } from "../../../src/model/task.ts";
import { openLog } from "../../../src/observe/log.ts";
import { noTracing } from "../../../src/observe/tracing.ts";
import type { Sandbox, Sandboxes } from "../../../src/ports/sandbox.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { builtInTools, toolCatalog } from "../../../src/tools/catalog.ts";
import { anOwner, aTask, never, noEgress } from "../../support/samples.ts";
import { until } from "../../support/until.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };

/** The line on an engine where making a sandbox is `create`. */
async function partsWith(store: TaskStore, create: Sandboxes["create"]): Promise<Parts> {
  const unused = (): never => {
    throw new Error("not in this test");
  };
  return {
    store,
    clock,
    catalog: toolCatalog(builtInTools()),
    objects: memoryObjectStore(),
    logSink: { write: () => undefined, dropped: () => 0, [Symbol.asyncDispose]: async () => undefined },
    log: await openLog("silent"),
    tracing: noTracing,
    services: new Map(),
    slots: fairSlots(1),
    secrets: [],
    images: { names: () => ["shell"], resolve: async (name) => ({ name, id: `sha256:${name}`, env: {} }) },
    sandboxes: { create, attach: unused, requireRuntime: async () => undefined, standby: unused },
    liveness: {
      self: anOwner(),
      stateOf: async () => "alive",
      poke: async () => undefined,
      sweep: async () => 0,
      standInFor: async () => ({ [Symbol.asyncDispose]: async () => undefined }),
      onPoke: () => () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    },
    openJournal: async () => ({
      append: () => undefined,
      entries: () => [],
      totals: () => ({ writtenBytes: 0, keptBytes: 0 }),
      note: () => undefined,
      redactionPoint: () => null,
      passed: () => undefined,
      leave: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }),
    reopenJournal: async () => null,
    egress: noEgress,
    policy: {
      runtimes: ["runc"],
      graceMs: 10,
      leaseMs: 10_000,
      maxArtifactEntries: 10,
      maxArtifactDepth: 4,
      secretsInArtifacts: "flag",
      inlineBytes: 1024,
      maxStrikes: 3,
    },
  };
}

/** Making it takes until the task is to end. */
const hanging: Sandboxes["create"] = (_spec, signal) =>
  new Promise<Sandbox>((_, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });

const refused: Sandboxes["create"] = async () => {
  throw new ExecutorError("sandbox", "the engine says no");
};

/** Runs the loop over these tasks until `meanwhile` is through. */
async function scheduled(
  create: Sandboxes["create"],
  tasks: readonly Parameters<typeof aTask>[0][],
  meanwhile: (store: TaskStore, count: () => number, giveUp: () => void, ring: () => void) => Promise<void>,
  wrapped: (store: TaskStore) => TaskStore = (store) => store,
): Promise<TaskStore> {
  const store = wrapped(memoryTaskStore(clock));
  for (const task of tasks) await store.intake(aTask(task), "h1", never());
  const [stop, giveUp, work] = [new AbortController(), new AbortController(), bell()];
  const loop = schedule(await partsWith(store, create), {
    slots: 2,
    pollMs: 60_000,
    bell: work,
    watch: () => undefined,
  });
  const over = loop.run(stop.signal, giveUp.signal);
  await meanwhile(
    store,
    () => loop.underWay.count(),
    () => {
      stop.abort();
      giveUp.abort(giveUpReason());
    },
    () => work.ring(),
  );
  stop.abort();
  await over;
  return store;
}

const known = async (store: TaskStore, taskId = "t-1") => {
  const record = await store.get(taskKey(aTask({ task_id: taskId })), never());
  if (record === null) throw new Error(`no task ${taskId}`);
  return record;
};

const reasonOnceEnded = (store: TaskStore, taskId = "t-1"): Promise<Reason> =>
  until(`${taskId} has ended`, async () => (await known(store, taskId)).reason, 5000);

describe("the schedule loop", () => {
  test("leases no more than it has room for, and the next one when there is room again", async () => {
    const ids = ["t-1", "t-2", "t-3"];
    const tasks = ids.map((task_id) => ({ task_id }));
    await scheduled(hanging, tasks, async (store, count, giveUp) => {
      await until("both slots are taken", () => count() === 2, 5000);
      expect((await known(store, "t-3")).state).toBe("QUEUED");
      await store.requestCancel(taskKey(aTask()), 1000, never());
      // The lease is renewed every two seconds, and tells of the cancel.
      expect(await reasonOnceEnded(store)).toBe("cancelled");
      await until("the third is under way", async () => (await known(store, "t-3")).state !== "QUEUED", 5000);
      expect(count()).toBe(2);
      giveUp();
    });
  });

  test("is woken by its bell, long before it would look by itself", () =>
    scheduled(refused, [], async (store, _count, _giveUp, ring) => {
      await store.intake(aTask(), "h1", never());
      ring();
      expect(await reasonOnceEnded(store)).toBe("sandbox");
    }).then(() => undefined));

  test("tries a sandbox that cannot be made three times, and the third failure is the result", async () => {
    const store = await scheduled(refused, [{}], async (during) => {
      expect(await reasonOnceEnded(during)).toBe("sandbox");
    });
    expect(await known(store)).toMatchObject({ state: "FINISHED", attempt: 3, strikes: 2 });
  });

  test.each(["safe", "unsafe"] as const)(
    "gives back, without a strike, what has not begun when it has to end: %s",
    async (retry) => {
      const store = await scheduled(hanging, [{ retry }], async (_store, count, giveUp) => {
        await until("it is under way", () => count() === 1, 5000);
        giveUp();
      });
      expect(await known(store)).toMatchObject({ state: "QUEUED", attempt: 1, strikes: 0, owner: null });
    },
  );

  test("begins later, without a strike, what it could not begin since the store was away", async () => {
    let calls = 0;
    const asked = async (): Promise<void> => {
      calls += 1;
      if (calls === 1) throw new ExecutorError("internal", "no answer", { away: "store" });
    };
    const store = await scheduled(
      hanging,
      [{ retry: "unsafe" }],
      async (_store, count, giveUp) => {
        await until("it is under way for the second time", () => calls > 1 && count() === 1, 5000);
        giveUp();
      },
      (inner) => ({ ...inner, starting: (...given) => asked().then(() => inner.starting(...given)) }),
    );
    expect(await known(store)).toMatchObject({ state: "QUEUED", attempt: 2, strikes: 0, reason: null });
  });
});
