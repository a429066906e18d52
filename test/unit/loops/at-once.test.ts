import { expect, test } from "vitest";
import { memorySandboxes } from "../../../src/adapters/memory/memory-sandboxes.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { spooledTaskStore } from "../../../src/adapters/wrap/spooled-task-store.ts";
import { warmPool } from "../../../src/adapters/wrap/warm-pool.ts";
import type { LiveEvent, Parts } from "../../../src/executor/parts.ts";
import { allowedSpec } from "../../../src/executor/prepare.ts";
import { takeIn } from "../../../src/executor/take-in.ts";
import { atOnce } from "../../../src/loops/at-once.ts";
import { bell } from "../../../src/loops/bell.ts";
import { giveUpReason, schedule } from "../../../src/loops/schedule.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { Task } from "../../../src/model/task.ts";
import type { Succession } from "../../../src/ports/attempt-journal.ts";
import type { Sandbox } from "../../../src/ports/sandbox.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { requestSha256 } from "../../../src/schema/canonical.ts";
import { faultyStore } from "../../support/faulty-store.ts";
import { partsWithoutEngine } from "../../support/parts-without-engine.ts";
import { aTask, never } from "../../support/samples.ts";
import { until } from "../../support/until.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };

const boundMs = 10_000;

/** What became of a journal, in order. */
type JournalStep = "opened" | "noted" | "left" | "closed";

/** A server's inside: a pool with one sandbox ready, a store that may be away, and the loop that runs tasks. */
async function inside(
  options: { readonly slots?: number; readonly leases?: boolean; readonly hasDisk?: boolean } = {},
) {
  const { slots = 2, leases = true, hasDisk = true } = options;
  const memory = memoryTaskStore(clock);
  const inner: TaskStore = leases ? memory : { ...memory, leaseNext: async () => [] };
  const faulty = faultyStore(inner);
  const spooled = spooledTaskStore(faulty.store, {
    intakes: null,
    ends: [],
    clock,
    settleMs: 0,
    onKept: () => undefined,
    onChange: () => undefined,
    onTrouble: () => undefined,
  });
  const journals: JournalStep[] = [];
  const notes: Succession[] = [];
  const detached: string[] = [];
  const [retired, armed, started]: [string[], string[], string[]] = [[], [], []];
  const engine = memorySandboxes();
  const sandboxes = warmPool(
    {
      ...engine,
      async create(spec, signal) {
        const sandbox = await engine.create(spec, signal);
        const detach = async (): Promise<void> => {
          detached.push(sandbox.id);
          await sandbox.detach();
        };
        const arm: Sandbox["arm"] = (command) => {
          armed.push(sandbox.id);
          sandbox.arm(command);
        };
        const start: Sandbox["start"] = (command, startSignal) => {
          started.push(sandbox.id);
          return sandbox.start(command, startSignal);
        };
        return { ...sandbox, arm, start, detach };
      },
    },
    {
      bounds: { maxCount: 1, memoryBytes: 1_000_000_000, maxAgeMs: 600_000 },
      seeds: [
        {
          min: 1,
          spec: async () => ({
            ...{ image: { name: "shell", id: "shell", env: {} }, runtime: "runc", limits: aTask().limits },
          }),
        },
      ],
      clock,
      told: {
        given: () => undefined,
        aged: () => undefined,
        retired: (why) => void retired.push(why),
        failed: () => undefined,
      },
    },
  );
  const openJournal: Parts["openJournal"] = async () => {
    if (!hasDisk) throw new ExecutorError("internal", "no space left");
    journals.push("opened");
    return {
      append: () => undefined,
      entries: () => [],
      totals: () => ({ writtenBytes: 0, keptBytes: 0 }),
      note: (succession) => {
        journals.push("noted");
        notes.push(succession);
      },
      redactionPoint: () => null,
      passed: () => undefined,
      leave: () => void journals.push("left"),
      async [Symbol.asyncDispose]() {
        journals.push("closed");
      },
    };
  };
  const secrets = [{ find: async () => Buffer.from("a-value-of-some-length") }];
  const { parts } = await partsWithoutEngine({ store: spooled.store, sandboxes, openJournal, secrets });
  const events: string[] = [];
  const scheduled = schedule(parts, {
    slots,
    pollMs: 10,
    bell: bell(),
    watch: (key, event: LiveEvent) => void (event.kind === "state" && events.push(`${key.taskId} ${event.state}`)),
  });
  const [stop, giveUp] = [new AbortController(), new AbortController()];
  const running = scheduled.run(stop.signal, giveUp.signal);
  sandboxes.begin();
  await until("one stands ready", () => sandboxes.counts().ready === 1, boundMs);
  const begins = atOnce(parts, scheduled, sandboxes);
  return {
    ...{ memory, faulty, journals, notes, detached, retired, armed, started, events, sandboxes, scheduled },
    /** Takes a task in by hand, and answers what was started by the time that it was told of its beginning. */
    async startedAtOnce(task: Partial<Task>) {
      const whole = aTask(task);
      const command = parts.catalog.find(whole.tool_name).command(whole);
      const allowed = allowedSpec(whole, parts.catalog.find(whole.tool_name), command, parts.images, parts.policy);
      const prepared = await begins.prepared(whole, allowed);
      const intake = await memory.intake(whole, requestSha256(whole), never(), prepared?.beginning);
      if (intake.kind !== "accepted" || typeof intake.begun !== "object") throw new Error("it did not begin");
      prepared?.settled(intake.begun);
      return [...started];
    },
    taken: (task: Partial<Task> = {}) => takeIn(parts, aTask(task), never(), begins),
    /** Nothing is under way. */
    isQuiet: () => scheduled.underWay.count() === 0,
    async [Symbol.asyncDispose]() {
      stop.abort();
      giveUp.abort(giveUpReason());
      await running;
      await sandboxes[Symbol.asyncDispose]();
    },
  };
}

const key = { tenantId: aTask().tenant_id, taskId: aTask().task_id };

test("a task for which one stands ready runs with no more writes than its intake and its end", async () => {
  await using server = await inside();
  const intake = await server.taken();
  expect(intake).toMatchObject({ kind: "accepted", begun: { attempt: { number: 1 } } });
  await until("it has ended", server.isQuiet, boundMs);
  expect(await server.memory.get(key, never())).toMatchObject({ state: "FINISHED", reason: "ok", attempt: 1 });
  const writes = ["leaseTask", "starting", "running"];
  expect(server.faulty.calls.filter((call) => writes.includes(call))).toEqual([]);
  expect(server.events).toEqual(["t-1 RUNNING", "t-1 FINISHED"]);
  expect(server.notes[0]).toMatchObject({ warm: true, deaths: 0, started: null });
  // Told ahead, asked ahead for what it leaves, and started.
  expect(server.armed).toEqual([server.notes[0]?.sandboxId]);
  expect(server.notes[0]).toMatchObject({ collecting: 2 });
  expect(server.notes.at(-1)).toMatchObject({ collecting: 2, started: { seq: 3 } });
  expect(server.journals.at(-1)).toBe("closed");
});

test.each([{}, { network: { allow: ["registry.example:443"] } }])(
  "a task whose beginning is stored is started before anything else is made for its run (%o)",
  async (asked) => {
    await using server = await inside();
    expect(await server.startedAtOnce(asked)).toHaveLength(1);
    await until("it has ended", server.isQuiet, boundMs);
    expect(await server.memory.get(key, never())).toMatchObject({ state: "FINISHED", reason: "ok" });
    expect(server.started).toHaveLength(1);
  },
);

test.each([{ stdin: "words" }, { expires_at: new Date(Date.now() + 60_000).toISOString() }])(
  "one that needs something before it runs is started by its run (%o)",
  async (needs) => {
    await using server = await inside();
    expect(await server.startedAtOnce(needs)).toEqual([]);
    await until("it has ended", server.isQuiet, boundMs);
    expect(await server.memory.get(key, never())).toMatchObject({ state: "FINISHED", reason: "ok" });
    expect(server.started).toHaveLength(1);
  },
);

test("a task that has another before it waits, and the sandbox that was told of it is replaced", async () => {
  await using server = await inside({ leases: false });
  await server.memory.intake(aTask({ task_id: "first" }), "h", never());
  expect(await server.taken()).toEqual({ kind: "accepted" });
  await until("the slot is free", server.isQuiet, boundMs);
  expect(server.journals).toEqual(["opened", "noted", "closed"]);
  expect(server.retired).toEqual(["told"]);
  expect(await server.memory.get(key, never())).toMatchObject({ state: "QUEUED", attempt: 0 });
});

test("while tasks do not begin at once, what is held for the next is as it was before", async () => {
  await using server = await inside({ leases: false });
  await server.memory.intake(aTask({ task_id: "first" }), "h", never());
  for (const taskId of ["t-1", "t-2", "t-3"]) {
    await until("one stands ready", () => server.sandboxes.counts().ready === 1, boundMs);
    expect(await server.taken({ task_id: taskId })).toEqual({ kind: "accepted" });
    await until("the slot is free", server.isQuiet, boundMs);
  }
  expect(server.armed).toHaveLength(1);
  expect(server.retired).toEqual(["told"]);
  expect(server.sandboxes.counts().ready).toBe(1);
});

test.each([
  { what: "a file", task: { files: [{ path: "a", content_base64: "", executable: false }] } },
  { what: "a secret", task: { secrets: [{ name: "API_TOKEN", as: "env" as const }] } },
])("a task with $what begins at once in a sandbox that is told nothing before", async ({ task }) => {
  await using server = await inside();
  expect(await server.taken(task)).toMatchObject({ kind: "accepted", begun: { attempt: { number: 1 } } });
  await until("it has ended", server.isQuiet, boundMs);
  expect(server.armed).toEqual([]);
  expect(await server.memory.get(key, never())).toMatchObject({ state: "FINISHED", reason: "ok", attempt: 1 });
});

test("a request that is known gets its task, and the sandbox that was told of it is replaced", async () => {
  await using server = await inside();
  await server.taken();
  await until("it has ended", server.isQuiet, boundMs);
  await until("one stands ready", () => server.sandboxes.counts().ready === 1, boundMs);
  expect(await server.taken()).toMatchObject({ kind: "duplicate", record: { state: "FINISHED" } });
  await until("the slot is free", server.isQuiet, boundMs);
  await until("one stands ready", () => server.sandboxes.counts().ready === 1, boundMs);
  expect(server.retired).toEqual(["told"]);
  expect(server.events).toEqual(["t-1 RUNNING", "t-1 FINISHED"]);
});

test.each([
  { what: "no slot", options: { slots: 0 }, task: {} },
  { what: "no sandbox of its size", options: { leases: false }, task: { limits: { ...aTask().limits, pids: 7 } } },
  {
    what: "a time before which it must not begin",
    options: { leases: false },
    task: { not_before: "2999-01-01T00:00:00Z" },
  },
  { what: "no room on the disk", options: { leases: false, hasDisk: false }, task: {} },
])("with $what it waits for its turn", async ({ options, task }) => {
  await using server = await inside(options);
  expect(await server.taken(task)).toEqual({ kind: "accepted" });
  expect(server.isQuiet()).toBe(true);
  await until("one stands ready", () => server.sandboxes.counts().ready === 1, boundMs);
});

test("one that began in a write whose answer was lost is gone on with when the store is back", async () => {
  await using server = await inside();
  server.faulty.set("deaf");
  await expect(server.taken()).rejects.toMatchObject({ away: "store" });
  expect(await server.memory.get(key, never())).toMatchObject({ state: "RUNNING", attempt: 1 });
  expect(server.scheduled.underWay.has({ key, number: 1 })).toBe(true);
  server.faulty.set(null);
  await until("it has ended", server.isQuiet, boundMs);
  expect(await server.memory.get(key, never())).toMatchObject({ state: "FINISHED", reason: "ok", attempt: 1 });
});

test("where the write never came there, all that was held for it is let go when the store is back", async () => {
  await using server = await inside();
  server.faulty.set("away");
  await expect(server.taken()).rejects.toMatchObject({ away: "store" });
  expect(server.scheduled.underWay.count()).toBe(1);
  server.faulty.set(null);
  await until("the slot is free", server.isQuiet, boundMs);
  expect(server.journals).toEqual(["opened", "noted", "closed"]);
  await until("one stands ready", () => server.sandboxes.counts().ready === 1, boundMs);
  expect(await server.memory.get(key, never())).toBeNull();
});

test("told to end while nobody knows, it leaves all of it to the next", async () => {
  const server = await inside();
  server.faulty.set("deaf");
  await expect(server.taken()).rejects.toMatchObject({ away: "store" });
  await server[Symbol.asyncDispose]();
  expect(server.journals).toEqual(["opened", "noted", "left", "closed"]);
  expect(server.detached).toEqual([server.notes[0]?.sandboxId]);
  expect(await server.memory.get(key, never())).toMatchObject({ state: "RUNNING", attempt: 1 });
});
