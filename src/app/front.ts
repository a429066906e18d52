import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { cancelTask } from "../executor/cancel-task.ts";
import { receivedSummary, taskSummary } from "../executor/task-summary.ts";
import { bell } from "../loops/bell.ts";
import { type Attempt, attemptPrefix } from "../model/attempt.ts";
import { ExecutorError, isAway } from "../model/failure.ts";
import { artifactsKey, type Manifest, manifestKey } from "../model/manifest.ts";
import type { Result } from "../model/result.ts";
import { keyText, type Task, type TaskKey, taskKey } from "../model/task.ts";
import type { FoundTask, Front, ToolReport } from "../ports/front.ts";
import type { Liveness } from "../ports/liveness.ts";
import type { Waiting } from "../ports/spool.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { parseManifest } from "../schema/manifest.ts";
import type { Catalog } from "../tools/catalog.ts";
import type { Config } from "./config.ts";
import { openCatalog } from "./custom-tools.ts";
import { type Archive, openArchive, systemClock } from "./house.ts";
import { lettersOf } from "./letters.ts";
import type { Pulse } from "./pulse.ts";
import { taskEvents } from "./task-events.ts";
import { toolReport } from "./tool-report.ts";

export interface FrontSources {
  readonly archive: Pick<Archive, "store" | "objects">;
  readonly catalog: () => Promise<Catalog>;
  /** Opened where there is somebody to wake. */
  readonly liveness: () => Promise<Liveness & AsyncDisposable>;
  readonly sandboxRoot: string;
  readonly pulse: Pulse | null;
  /** Whether the attempt's end is not with the store yet: what is heard of it then is not yet the task's result. */
  readonly isKept: (attempt: Pick<Attempt, "key" | "number">) => boolean;
  /** What waits of a task for a store that is away; null where nothing does. */
  readonly waiting: ((key: TaskKey, signal: AbortSignal) => Promise<Waiting | null>) | null;
}

/** What the data folder tells, without a server. @throws ExecutorError internal, when the data folder cannot be used. */
export async function openFront(config: Config): Promise<Front> {
  const archive = await openArchive(config);
  return { ...localFront(config, archive), [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose]() };
}

/** The same on an archive that is open already. */
export const localFront = (config: Config, archive: FrontSources["archive"]): Front =>
  frontOf({
    archive,
    catalog: () => openCatalog(config),
    liveness: () => hostLiveness(config.runtimeDir),
    sandboxRoot: config.sandboxRoot,
    pulse: null,
    isKept: () => false,
    waiting: null,
  });

/** Dispose lets go of nothing. */
export function frontOf(sources: FrontSources): Front {
  const { store, objects } = sources.archive;
  const manifestOf = async (key: TaskKey, signal: AbortSignal): Promise<Manifest | null> => {
    const result = resultOf(await store.get(key, signal));
    if (result === null || result.output.artifacts_object === null) return null;
    const name = manifestKey(attemptPrefix({ key, number: result.attempt }));
    return parseManifest(await gathered(await stored(name, key, signal)), name);
  };
  const stored = async (name: string, key: TaskKey, signal: AbortSignal, range?: { start: number; end: number }) => {
    const bytes = await objects.get(name, signal, range);
    if (bytes !== null) return bytes;
    throw new ExecutorError("internal", `task ${keyText(key)}: ${name} is gone from the object store`, {
      hint: "logs and artifacts are kept as long as TOOL_EXECUTOR_RETAIN_LOGS_DAYS and TOOL_EXECUTOR_RETAIN_ARTIFACTS_DAYS say",
    });
  };
  return {
    ...lettersOf(store),
    async get(key, waitMs, signal, isNew = false) {
      try {
        return waitMs === 0 ? await known(sources, key, signal) : await ended(sources, key, waitMs, isNew, signal);
      } catch (error) {
        return await foundMeanwhile(sources, key, error, signal);
      }
    },
    async list({ tenantId, states, olderThan, limit }, signal) {
      const filter = { tenantId, limit, ...(states && { states }), ...(olderThan && { olderThan }) };
      const records = await store.list(filter, signal);
      const last = records.at(-1);
      const next = last !== undefined && records.length === limit ? taskKey(last.task) : null;
      return { tasks: records.map(taskSummary), next };
    },
    cancel: (key, signal) => cancelTask(store, systemClock, sources.liveness, key, signal),
    events: (key, after, follow, signal) => taskEvents({ ...sources, ...sources.archive }, key, after, follow, signal),
    manifest: manifestOf,
    async artifact(key, entry, range, signal) {
      const result = resultOf(await store.get(key, signal));
      const name = artifactsKey(attemptPrefix({ key, number: result?.attempt ?? 0 }));
      const [start, end] = [entry.offset + range.start, entry.offset + range.end];
      return await stored(name, key, signal, { start, end });
    },
    tools: async () => reported(await sources.catalog()),
    async [Symbol.asyncDispose]() {},
  };
}

function found(record: TaskRecord): FoundTask {
  const { resultBytes, reason } = record;
  return resultBytes !== null && reason !== null
    ? { reason, resultBytes }
    : { summary: taskSummary(record), resultBytes: null };
}

const resultOf = (record: TaskRecord | null): Result | null =>
  record?.resultBytes ? (JSON.parse(record.resultBytes.toString("utf8")) as Result) : null;

/** A task as the store has it; one that the store does not have may wait to be put there. */
async function known({ archive, waiting }: FrontSources, key: TaskKey, signal: AbortSignal): Promise<FoundTask | null> {
  const record = await archive.store.get(key, signal);
  if (record !== null) return found(record);
  if (waiting === null) return null;
  const call = await waiting(key, signal);
  if (call?.entry.kind === "intake") return received(call.entry.task, call.putAt);
  // Nor does it wait, or no more: it may have been put there in between.
  const late = await archive.store.get(key, signal);
  return late === null ? null : found(late);
}

const received = (task: Task, at: number): FoundTask => ({ summary: receivedSummary(task, at), resultBytes: null });

/**
 * A task as it waits for the store. @throws `error` where no call of it does; with what ends its attempt among what waits, it says so in
 * its details: whether that counts is the store's to say.
 */
async function foundMeanwhile(
  { waiting }: FrontSources,
  key: TaskKey,
  error: unknown,
  signal: AbortSignal,
): Promise<FoundTask> {
  if (!(error instanceof ExecutorError) || error.away !== "store" || waiting === null) throw error;
  const found = await waiting(key, signal);
  if (found?.entry.kind === "intake") return received(found.entry.task, found.putAt);
  if (found === null || !("attempt" in found.entry)) throw error;
  const { kind, attempt } = found.entry;
  const what = kind === "finish" ? "has ended, and its result" : "was given back to the queue, and that";
  const { code, message, hint, away, isBarred } = error;
  throw new ExecutorError(code, message, {
    ...{ cause: error, away, isBarred, ...(hint !== null && { hint }) },
    details: [{ path: "/state", message: `attempt ${attempt.number} ${what} waits for the store` }],
  });
}

/** The task once it has ended, or as it stands after `waitMs`. A store that is away meanwhile is waited for, too. */
async function ended(
  sources: FrontSources,
  key: TaskKey,
  waitMs: number,
  isNew: boolean,
  signal: AbortSignal,
): Promise<FoundTask | null> {
  const endsAt = performance.now() + waitMs;
  const beats = bell();
  let heard: FoundTask | null = null;
  // Its other states are no reason to look: the run itself has the processor then.
  using _listening = sources.pulse?.listen(key, (event) => {
    if (event.kind === "result" && !sources.isKept({ key, number: event.result.attempt }))
      heard = { reason: event.result.reason, resultBytes: event.bytes };
    if (event.kind === "state" && event.state === "FINISHED") beats.ring();
  });
  if (isNew) await beats.heard(Math.min(waitMs, lookEveryMs), signal);
  for (;;) {
    if (heard !== null) return heard;
    const task = await known(sources, key, signal).catch((error: unknown) => {
      if (!isAway(error) || performance.now() >= endsAt) throw error;
      return "away" as const;
    });
    const leftMs = endsAt - performance.now();
    if (task !== "away" && (task === null || task.resultBytes !== null || leftMs <= 0)) return task;
    await beats.heard(Math.min(leftMs, lookEveryMs), signal);
  }
}

/** For tasks that another process runs. */
const lookEveryMs = 250;

const reported = (catalog: Catalog): ToolReport => toolReport(catalog.list(), catalog.broken());

async function gathered(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  // Copied: a chunk is good until the next is asked for.
  for await (const part of bytes) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
