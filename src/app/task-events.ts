import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { followJournal } from "../adapters/disk/follow-journal.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import { type LogLine, logEncoder, partCounter } from "../executor/store-logs.ts";
import { bell } from "../loops/bell.ts";
import { anyAttempt, isAfter, type LogPosition } from "../model/log-position.ts";
import { ownerText } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import type { TaskKey, TaskState } from "../model/task.ts";
import type { TaskEvent } from "../ports/front.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { TaskRecord, TaskStore } from "../ports/task-store.ts";
import type { Pulse } from "./pulse.ts";

export interface EventSources {
  readonly store: TaskStore;
  readonly objects: ObjectStore;
  readonly sandboxRoot: string;
  /** Of the process that runs tasks; null in another one, which has to look again and again. */
  readonly pulse: Pulse | null;
}

/**
 * What a task did after `after`: from its journal while it runs on this host, attempt after attempt, and from the log object once it
 * has ended. Lines are the same from either, so that a reader may go on from the last one it saw, whenever that was.
 */
export async function* taskEvents(
  sources: EventSources,
  key: TaskKey,
  after: LogPosition,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent> {
  const { store, objects, sandboxRoot } = sources;
  using live = liveOf(sources, key);
  let last = after;
  let told: TaskState | null = null;
  for (;;) {
    if (signal.aborted) return;
    const record = await store.get(key, uninterrupted);
    if (record === null) return;
    if (record.resultBytes !== null) {
      const { object, attempt } = logOf(record.resultBytes);
      if (object !== null) yield* storedLines(objects, object, attempt, last, signal);
      yield { kind: "state", state: "FINISHED", attempt };
      return;
    }
    if (record.state !== told) yield { kind: "state", state: record.state, attempt: record.attempt };
    told = record.state;
    const folder = await journalFolder(sandboxRoot, key, record);
    if (folder !== null) {
      const isOver = live.overFor(record.attempt, follow);
      const encoder = logEncoder();
      for await (const entries of followJournal(join(folder, "journal"), 0, isOver, signal, live.nap)) {
        for (const event of live.told()) {
          if (event.kind === "state" && event.state !== told) told = event.state;
          else if (event.kind === "state") continue;
          yield event.kind === "state" ? { ...event, attempt: record.attempt } : event;
        }
        for (const entry of entries)
          for (const line of encoder.add(entry)) {
            const event = lineEvent(line, record.attempt);
            if (!isAfter(event.position, last)) continue;
            last = event.position;
            yield event;
          }
      }
      // What is left of a character is in the log object, should the rest of it never come.
      if (!follow)
        for (const line of encoder.end())
          if (isAfter(lineEvent(line, record.attempt).position, last)) yield lineEvent(line, record.attempt);
    }
    if (!follow) return;
    if (folder === null) await live.nap(signal);
  }
}

const uninterrupted: AbortSignal = new AbortController().signal;

function logOf(resultBytes: Buffer): { readonly object: string | null; readonly attempt: number } {
  const { output, attempt } = JSON.parse(resultBytes.toString("utf8")) as Result;
  return { object: output.logs_object, attempt };
}

const lineEvent = ({ seq, part, isGap, text }: LogLine, attempt: number) => ({
  kind: "line" as const,
  position: { attempt, seq, part },
  isGap,
  line: text,
});

/** Where the attempt that is under way keeps its journal; null when there is none on this host. */
async function journalFolder(root: string, key: TaskKey, { owner, attempt }: TaskRecord): Promise<string | null> {
  if (owner === null) return null;
  const prefix = `${key.tenantId}.${key.taskId}.${attempt}.`;
  const folders = await (await diskScratch(root)).list();
  const own = folders.find(
    ({ path, owner: maker }) =>
      path.slice(root.length + 1).startsWith(prefix) && maker !== null && ownerText(maker) === ownerText(owner),
  );
  return own?.path ?? null;
}

/** What the log object has after `last`. */
async function* storedLines(
  objects: ObjectStore,
  object: string,
  attempt: number,
  last: LogPosition,
  signal: AbortSignal,
): AsyncGenerator<TaskEvent> {
  const bytes = await objects.get(object, signal);
  if (bytes === null) return;
  const parts = partCounter();
  // A number alone means the attempt that wrote the log.
  const from = last.attempt === anyAttempt ? { ...last, attempt } : last;
  let rest = "";
  for await (const chunk of Readable.from(copies(bytes)).pipe(createGunzip()).setEncoding("utf8")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) {
      const line = JSON.parse(text) as { readonly seq?: number; readonly gap?: { readonly to: number } };
      const seq = line.gap?.to ?? line.seq ?? 0;
      const event = lineEvent({ seq, part: parts(seq), isGap: line.gap !== undefined, text }, attempt);
      if (isAfter(event.position, from)) yield event;
    }
  }
}

/** A stream reads ahead, and a chunk is good until the next is asked for. */
async function* copies(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) yield Buffer.from(chunk);
}

const lookEveryMs = 50;
/** With a pulse, looking is for tasks that another process runs. */
const lookEveryMsWithPulse = 250;

type Told = { readonly kind: "state"; readonly state: TaskState } | Extract<TaskEvent, { kind: "progress" }>;

/** What is heard of the task meanwhile. */
function liveOf({ store, pulse }: EventSources, key: TaskKey) {
  let waiting: Told[] = [];
  let ended = false;
  const beats = bell();
  const listening = pulse?.listen(key, (event) => {
    if (event.kind === "state") {
      ended = event.state === "FINISHED" || event.state === "QUEUED";
      if (!ended) waiting.push(event);
    } else if (event.kind === "progress") waiting.push({ kind: "progress", ...event.progress });
    beats.ring();
  });
  return {
    told(): readonly Told[] {
      const all = waiting;
      waiting = [];
      return all;
    },
    /** Waits for the next beat, or until it is time to look. */
    nap: (signal: AbortSignal): Promise<void> =>
      beats.heard(pulse === null ? lookEveryMs : lookEveryMsWithPulse, signal),
    /** Whether nothing further comes of this attempt. */
    overFor(attempt: number, follow: boolean): () => Promise<boolean> {
      // What was heard before may be of the attempt before; the store is asked first.
      ended = false;
      let lookedAt = Number.NEGATIVE_INFINITY;
      return async () => {
        if (!follow || ended) return true;
        if (pulse !== null && performance.now() - lookedAt < lookEveryMsWithPulse) return false;
        lookedAt = performance.now();
        const now = await store.get(key, uninterrupted);
        return now === null || now.state === "FINISHED" || now.state === "QUEUED" || now.attempt !== attempt;
      };
    },
    [Symbol.dispose]() {
      listening?.[Symbol.dispose]();
    },
  };
}
