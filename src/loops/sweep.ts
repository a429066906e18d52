import { inputFileKey, inputFiles } from "../executor/prepare.ts";
import { logsKey } from "../executor/store-logs.ts";
import { attemptPrefix } from "../model/attempt.ts";
import { artifactsKey, manifestKey } from "../model/manifest.ts";
import type { OutboxKind } from "../model/outbox.ts";
import { type TaskKey, type TaskState, taskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { Leaving, OldTask, OldTasks } from "../ports/old-tasks.ts";
import type { TaskStore } from "../ports/task-store.ts";

/** How long each thing is kept after its task ended, or after it was sent; null: for ever. */
export interface Retention {
  readonly resultsMs: number | null;
  readonly logsMs: number | null;
  readonly artifactsMs: number | null;
  readonly deadLettersMs: number | null;
  /** Messages that were sent. */
  readonly outboxMs: number | null;
  /** What was decided for tasks. */
  readonly auditMs: number | null;
  /** Input files that were put beforehand. */
  readonly filesMs: number | null;
}

export interface SweepPorts {
  readonly store: OldTasks & Pick<TaskStore, "list">;
  readonly objects: ObjectStore;
  /** What the log sink kept of a task, up to its last attempt; it has its own retention where it is somebody else's. */
  readonly removeLines: (key: TaskKey, lastAttempt: number) => Promise<void>;
  readonly clock: Clock;
  readonly retention: Retention;
  /** Kinds of message that nobody sends in this installation: they hold no task back. */
  readonly abandoned: readonly OutboxKind[];
}

/** What went, in numbers of tasks, messages and objects. */
export type SweepReport = Readonly<
  Record<"results" | "logs" | "artifacts" | "dead_letters" | "messages" | "audit" | "files" | "uploads", number>
>;

const atOnce = 100;
/** An upload that has not ended by then has no process any more. */
const uploadsMs = 24 * 60 * 60 * 1000;
/** Where messages that are too large for the transport stand. */
const letterObjects = "dead_letters";

/**
 * One pass over everything that is past its time, in batches, until nothing is left of it or `signal` aborts. What has not ended, and what
 * is still to be sent, stays. Two passes at once do no harm; one that breaks off is gone on with by the next.
 * @throws ExecutorError internal, when a store fails.
 */
export async function sweepOnce(ports: SweepPorts, signal: AbortSignal): Promise<SweepReport> {
  const { retention, objects } = ports;
  return {
    logs: await sweepTasks(ports, "logs", retention.logsMs, signal),
    artifacts: await sweepTasks(ports, "artifacts", retention.artifactsMs, signal),
    results: await sweepTasks(ports, "results", retention.resultsMs, signal),
    dead_letters: await sweepLetters(ports, retention.deadLettersMs, signal),
    messages: await sweepMessages(ports, ["result"], retention.outboxMs, signal),
    audit: await sweepAudit(ports, retention.auditMs, signal),
    files: await sweepFiles(ports, retention.filesMs, signal),
    uploads: await objects.sweep(uploadsMs, signal),
  };
}

async function sweepTasks(
  ports: SweepPorts,
  what: Leaving,
  ageMs: number | null,
  signal: AbortSignal,
): Promise<number> {
  if (ageMs === null) return 0;
  const { store, objects, abandoned } = ports;
  return await inBatches(signal, async () => {
    const tasks = await store.listOld(what, ageMs, abandoned, atOnce, signal);
    const last = tasks.at(-1);
    if (last === undefined) return { found: 0, gone: 0 };
    await objects.removeKeys(
      tasks.flatMap((task) => objectsOf(task, what)),
      signal,
    );
    if (what !== "artifacts") for (const { key, attempt } of tasks) await ports.removeLines(key, attempt);
    // Last: what breaks off before is found again.
    if (what === "results") return { found: tasks.length, gone: await store.forget(tasks, abandoned, signal) };
    await store.markSwept(what, last, signal);
    return { found: tasks.length, gone: tasks.length };
  });
}

/** Of each attempt; 0: of a task that ended before it was leased. */
const objectsOf = ({ key, attempt }: OldTask, what: Leaving): readonly string[] =>
  Array.from({ length: attempt + 1 }, (_, number) => attemptPrefix({ key, number })).flatMap((prefix) =>
    namesOf(prefix, what),
  );

/** With a result everything goes that is named after its attempt. */
function namesOf(prefix: string, what: Leaving): readonly string[] {
  switch (what) {
    case "logs":
      return [logsKey(prefix)];
    case "artifacts":
      return [artifactsKey(prefix), manifestKey(prefix)];
    case "results":
      return [logsKey(prefix), artifactsKey(prefix), manifestKey(prefix), `${prefix}/result.json`];
  }
}

async function sweepLetters(ports: SweepPorts, ageMs: number | null, signal: AbortSignal): Promise<number> {
  if (ageMs === null) return 0;
  const putBefore = ports.clock.now() - ageMs;
  await inBatches(signal, async () => {
    const gone = await ports.objects.expire(letterObjects, { putBefore, limit: atOnce }, signal);
    return { found: gone, gone };
  });
  return await sweepMessages(ports, ["dead_letter"], ageMs, signal);
}

async function sweepAudit({ store }: SweepPorts, ageMs: number | null, signal: AbortSignal): Promise<number> {
  if (ageMs === null) return 0;
  return await inBatches(signal, async () => {
    const gone = await store.forgetAudit(ageMs, atOnce, signal);
    return { found: gone, gone };
  });
}

/**
 * A file that a task names which has not ended stays. One that is named for the first time while it is swept may go, as it might have a
 * moment before: the task is then refused, and says which file to put.
 */
async function sweepFiles(ports: SweepPorts, ageMs: number | null, signal: AbortSignal): Promise<number> {
  const { objects, clock } = ports;
  if (ageMs === null || (await objects.list(inputFiles, signal)).length === 0) return 0;
  const named = await namedFiles(ports, signal);
  const old = { putBefore: clock.now() - ageMs, limit: atOnce, isSpared: (key: string) => named.has(key) };
  return await inBatches(signal, async () => {
    const gone = await objects.expire(inputFiles, old, signal);
    return { found: gone, gone };
  });
}

/** Keys of the input files that tasks name which have not ended. */
async function namedFiles({ store }: SweepPorts, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const named = new Set<string>();
  for (let olderThan: TaskKey | undefined; ; ) {
    const page = { states: unfinished, limit: requestsAtOnce, ...(olderThan && { olderThan }) };
    const records = await store.list(page, signal);
    for (const { task } of records)
      for (const file of task.files) if ("sha256" in file) named.add(inputFileKey(task.tenant_id, file.sha256));
    const last = records.at(-1);
    if (last === undefined || records.length < requestsAtOnce) return named;
    olderThan = taskKey(last.task);
  }
}

const unfinished: readonly TaskState[] = ["RECEIVED", "QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING"];

/** Each may be as long as a request may. */
const requestsAtOnce = 20;

async function sweepMessages(
  { store }: SweepPorts,
  kinds: readonly OutboxKind[],
  ageMs: number | null,
  signal: AbortSignal,
): Promise<number> {
  if (ageMs === null) return 0;
  return await inBatches(signal, async () => {
    const gone = await store.forgetSent(kinds, ageMs, atOnce, signal);
    return { found: gone, gone };
  });
}

/** Batch after batch as long as they are full and something goes. */
async function inBatches(
  signal: AbortSignal,
  batch: () => Promise<{ readonly found: number; readonly gone: number }>,
): Promise<number> {
  for (let sum = 0; ; ) {
    signal.throwIfAborted();
    const { found, gone } = await batch();
    sum += gone;
    if (found < atOnce || gone === 0) return sum;
  }
}
