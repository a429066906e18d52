import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diskObjectStore } from "../../../src/adapters/disk/disk-object-store.ts";
import { removeLogFiles } from "../../../src/adapters/disk/log-files.ts";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { sqliteTaskStore } from "../../../src/adapters/sqlite/sqlite-task-store.ts";
import { inputFileKey } from "../../../src/executor/prepare.ts";
import { keepPassing } from "../../../src/loops/keep-passing.ts";
import { type SweepPorts, type SweepReport, sweepOnce } from "../../../src/loops/sweep.ts";
import { taskKey } from "../../../src/model/task.ts";
import type { ObjectStore } from "../../../src/ports/object-store.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { anOwner, aResult, aTask, handClock, never } from "../../support/samples.ts";
import { until } from "../../support/until.ts";

const dayMs = 24 * 60 * 60 * 1000;
const ages = {
  ...{
    logsMs: dayMs,
    artifactsMs: 2 * dayMs,
    resultsMs: 3 * dayMs,
    deadLettersMs: dayMs,
    outboxMs: dayMs,
    auditMs: 4 * dayMs,
  },
  filesMs: dayMs,
};
const nothing: SweepReport = {
  ...{ results: 0, logs: 0, artifacts: 0, dead_letters: 0, messages: 0, audit: 0, files: 0, uploads: 0 },
};

let folder: string;
let clock: ReturnType<typeof handClock>;
beforeEach(async () => {
  // Where the disk's begins, which does not follow it.
  clock = handClock(Date.now());
  folder = await mkdtemp(join(tmpdir(), "sweep-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A store and a folder as one machine has them. */
function oneMachine(changes: Partial<SweepPorts> = {}) {
  const store = sqliteTaskStore(join(folder, "tasks.db"), clock);
  const objects = diskObjectStore(join(folder, "objects"));
  const removeLines: SweepPorts["removeLines"] = (key, last) => removeLogFiles(join(folder, "logs"), key, last);
  const ports: SweepPorts = { store, objects, removeLines, clock, retention: ages, abandoned: [], ...changes };
  return { store, objects, ports, sweep: () => sweepOnce(ports, never()) };
}

test("a day takes the log, the next the artifacts, the third what is left, of every attempt and of no other task", async () => {
  const { store, objects, sweep } = oneMachine();
  await using _store = store;
  await ended(store, objects, "t-1", { attempts: 2 });
  clock.advance(dayMs - 1);
  await ended(store, objects, "t-2");
  expect(await sweep()).toEqual(nothing);
  clock.advance(1);
  expect(await sweep()).toEqual({ ...nothing, logs: 1, messages: 1 });
  expect(await keys(objects)).toEqual([
    ...["t-1/1/artifacts.tar", "t-1/1/manifest.json", "t-1/2/artifacts.tar", "t-1/2/manifest.json"],
    ...["t-2/1/artifacts.tar", "t-2/1/logs.ndjson.gz", "t-2/1/manifest.json"],
  ]);
  expect(await lines()).toEqual(["t-2.1.ndjson"]);
  clock.advance(dayMs);
  expect(await sweep()).toEqual({ ...nothing, artifacts: 1, logs: 1, messages: 1 });
  expect(await keys(objects)).toEqual(["t-2/1/artifacts.tar", "t-2/1/manifest.json"]);
  expect(await store.get(taskKey(aTask()), never())).toMatchObject({ state: "FINISHED", reason: "ok" });
  clock.advance(dayMs);
  expect(await sweep()).toEqual({ ...nothing, results: 1, artifacts: 1 });
  expect(await store.get(taskKey(aTask()), never())).toBeNull();
  clock.advance(dayMs);
  expect(await sweep()).toEqual({ ...nothing, results: 1 });
  expect(await sweep()).toEqual(nothing);
  expect(await readdir(join(folder, "objects"))).toEqual([]);
});

test("what has not ended or is still to be sent stays whole, however old it is", async () => {
  const { store, objects, sweep } = oneMachine();
  await using _store = store;
  await ended(store, objects, "t-unsent", { isSent: false });
  await store.intake(aTask({ task_id: "t-queued" }), "h", never());
  await store.intake(aTask({ task_id: "t-running" }), "h", never());
  await store.leaseTask(taskKey(aTask({ task_id: "t-running" })), anOwner(), 1, never());
  for (const each of ["t-queued", "t-running"]) await leave(objects, each, 1);
  const before = await keys(objects);
  clock.advance(1000 * dayMs);
  expect(await sweep()).toEqual(nothing);
  expect(await keys(objects)).toEqual(before);
  expect(await store.list({ limit: 10 }, never())).toHaveLength(3);
});

test("where nobody sends anything, what waits to be sent holds nothing back", async () => {
  const { store, objects, sweep } = oneMachine({ abandoned: ["result", "dead_letter"] });
  await using _store = store;
  await ended(store, objects, "t-1", { isSent: false });
  clock.advance(3 * dayMs);
  expect(await sweep()).toEqual({ ...nothing, results: 1, artifacts: 1, logs: 1 });
});

test("what is to be kept for ever is kept", async () => {
  const forEver = {
    ...{
      resultsMs: null,
      logsMs: null,
      artifactsMs: null,
      deadLettersMs: null,
      outboxMs: null,
      filesMs: null,
      auditMs: null,
    },
  };
  const { store, objects, sweep } = oneMachine({ retention: forEver });
  await using _store = store;
  await ended(store, objects, "t-1");
  await put(objects, "dead_letters/topic/0/17");
  await put(objects, inputFileKey("acme", "a".repeat(64)));
  clock.advance(10_000 * dayMs);
  expect(await sweep()).toEqual(nothing);
});

test("dead letters go with the objects that they name, once they were sent", async () => {
  const { store, objects, sweep } = oneMachine();
  await using _store = store;
  await store.deadLetter({ "dlq-reason": "validation" }, Buffer.from("x"), never());
  await sent(store);
  await store.deadLetter({ "dlq-reason": "validation" }, Buffer.from("waits"), never());
  await put(objects, "dead_letters/topic/0/17");
  expect(await sweep()).toMatchObject({ dead_letters: 0 });
  clock.advance(dayMs + 60_000);
  expect(await sweep()).toMatchObject({ dead_letters: 1 });
  expect(await objects.list("dead_letters", never())).toEqual([]);
  expect((await store.claimOutbox(10, 1, never())).map(({ value }) => value.toString())).toEqual(["waits"]);
});

test("input files go when they are old, but those that a task names which has not ended", async () => {
  const { store, objects, sweep } = oneMachine();
  await using _store = store;
  const [queued, running, over, theirs] = ["a", "b", "c", "d"].map((digit) => digit.repeat(64)) as [
    string,
    string,
    string,
    string,
  ];
  const naming = (task_id: string, sha256: string) =>
    store.intake(aTask({ task_id, files: [{ path: "in", executable: false, sha256 }] }), "h", never());
  // More than one page of requests.
  for (let each = 0; each < 50; each++) await store.intake(aTask({ task_id: `t-${each}` }), "h", never());
  await naming("t-queued", queued);
  await naming("t-running", running);
  await store.leaseTask(taskKey(aTask({ task_id: "t-running" })), anOwner(), 1, never());
  for (let each = 50; each < 100; each++) await store.intake(aTask({ task_id: `t-${each}` }), "h", never());
  for (const sha256 of [queued, running, over, theirs]) await put(objects, inputFileKey("acme", sha256));
  // The same bytes of another tenant, whom nobody's task spares.
  await put(objects, inputFileKey("other", queued));
  for (let each = 0; each < 150; each++) await put(objects, inputFileKey("many", `${each}`.padStart(64, "0")));
  clock.advance(dayMs - 60_000);
  expect(await sweep()).toMatchObject({ files: 0 });
  clock.advance(120_000);
  expect(await sweep()).toMatchObject({ files: 153 });
  expect((await objects.list("files", never())).map(({ key }) => key)).toEqual(
    [queued, running].map((sha256) => inputFileKey("acme", sha256)),
  );
});

test("more than one batch goes in one pass", async () => {
  const { store, sweep } = oneMachine();
  await using _store = store;
  for (let each = 0; each < 250; each++) await ended(store, null, `t-${each}`);
  clock.advance(3 * dayMs);
  expect(await sweep()).toEqual({ ...nothing, results: 250, artifacts: 250, logs: 250, messages: 0 });
  expect(await store.list({ limit: 10 }, never())).toEqual([]);
});

test("an upload that a dead process left is taken after a day, a younger one is not", async () => {
  const { store, sweep } = oneMachine();
  await using _store = store;
  const place = join(folder, "objects", "tasks", "acme", "t-1", "1");
  await mkdir(place, { recursive: true });
  for (const name of [".draft-old", ".draft-young"]) await writeFile(join(place, name), "half");
  await utimes(join(place, ".draft-old"), new Date(Date.now() - 2 * dayMs), new Date(Date.now() - 2 * dayMs));
  expect(await sweep()).toEqual({ ...nothing, uploads: 1 });
  expect(await readdir(place)).toEqual([".draft-young"]);
});

test("a pass that breaks off before the rows are gone is gone on with by the next", async () => {
  const store = memoryTaskStore(clock);
  const objects = memoryObjectStore();
  await ended(store, objects, "t-1");
  let isAway = true;
  const failing: ObjectStore = {
    ...objects,
    async removeKeys(keys, signal) {
      if (isAway) throw new Error("away");
      await objects.removeKeys(keys, signal);
    },
  };
  const ports = { store, objects: failing, removeLines: async () => {}, clock, retention: ages, abandoned: [] };
  clock.advance(3 * dayMs);
  await expect(sweepOnce(ports, never())).rejects.toThrow("away");
  expect(await store.list({ limit: 10 }, never())).toHaveLength(1);
  isAway = false;
  expect(await sweepOnce(ports, never())).toMatchObject({ results: 1, artifacts: 1, logs: 1 });
});

test("the loop goes on after a pass that failed, and ends when it is told to", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  let passes = 0;
  const running = keepPassing(
    {
      everyMs: 1,
      async pass() {
        passes += 1;
        if (passes === 1) throw new Error("first");
        return nothing;
      },
      onReport: () => told.push("report"),
      onFailure: (error) => told.push(String(error)),
    },
    stop.signal,
  );
  await until("three passes", () => passes >= 3, 5000);
  stop.abort();
  await running;
  expect(told.slice(0, 2)).toEqual(["Error: first", "report"]);
});

async function keys(objects: ObjectStore): Promise<readonly string[]> {
  return (await objects.list("tasks/acme", never())).map(({ key }) => key.replace("tasks/acme/", ""));
}

const lines = (): Promise<readonly string[]> => readdir(join(folder, "logs", "acme"));

async function put(objects: ObjectStore, key: string): Promise<void> {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("x");
  };
  await objects.put(key, body(), never());
}

async function leave(objects: ObjectStore, taskId: string, attempt: number): Promise<void> {
  for (const name of ["artifacts.tar", "manifest.json", "logs.ndjson.gz"])
    await put(objects, `tasks/acme/${taskId}/${attempt}/${name}`);
  await mkdir(join(folder, "logs", "acme"), { recursive: true });
  await writeFile(join(folder, "logs", "acme", `${taskId}.${attempt}.ndjson`), "{}\n");
}

async function ended(
  store: TaskStore,
  objects: ObjectStore | null,
  taskId: string,
  { attempts = 1, isSent = true } = {},
): Promise<void> {
  const task = aTask({ task_id: taskId });
  await store.intake(task, "h1", never());
  for (let number = 1; number <= attempts; number++) {
    const attempt = await store.leaseTask(taskKey(task), anOwner(), 10_000, never());
    if (attempt === null) throw new Error("not leased");
    if (objects !== null) await leave(objects, taskId, number);
    if (number < attempts) await store.release(attempt, false, never());
    else await store.finish(attempt, aResult(), Buffer.from("result"), never());
  }
  if (isSent) await sent(store);
}

async function sent(store: TaskStore): Promise<void> {
  const rows = await store.claimOutbox(1000, 1, never());
  await store.markPublished(
    rows.map(({ id }) => id),
    never(),
  );
}
