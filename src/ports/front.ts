import type { Reason } from "../model/failure.ts";
import type { Letter, LetterSummary } from "../model/letter-summary.ts";
import type { LogPosition } from "../model/log-position.ts";
import type { Manifest, ManifestEntry } from "../model/manifest.ts";
import type { JsonObject, TaskKey, TaskState } from "../model/task.ts";
import type { TaskSummary } from "../model/task-summary.ts";

/** One task as it stands, or its result once it has one: the stored bytes, and the reason in them. */
export type FoundTask =
  | { readonly summary: TaskSummary; readonly resultBytes: null }
  | { readonly reason: Reason; readonly resultBytes: Buffer };

export interface ListedTasks {
  /** Newest first. */
  readonly tasks: readonly TaskSummary[];
  /** The last of them, when there may be older ones. */
  readonly next: TaskKey | null;
}

export interface FrontFilter {
  readonly tenantId: string;
  readonly states: readonly TaskState[] | null;
  readonly olderThan: TaskKey | null;
  /** 1–1000. */
  readonly limit: number;
}

/** What became of a cancel. */
export type CancelAnswer =
  | { readonly kind: "unknown" }
  | { readonly kind: "over"; readonly reason: Reason | null }
  | { readonly kind: "ended" }
  | { readonly kind: "asked" };

/** What a task does, in order. */
export type TaskEvent =
  | { readonly kind: "state"; readonly state: TaskState; readonly attempt: number }
  /** One line of the log object, verbatim and without its end of line: output, or a gap. */
  | { readonly kind: "line"; readonly position: LogPosition; readonly isGap: boolean; readonly line: string }
  /** Told while it happens, stored nowhere. */
  | { readonly kind: "progress"; readonly progress: number | null; readonly message: string | null };

/** A tool that cannot be used, and why. */
export interface BrokenToolReport {
  readonly name: string;
  readonly source: string;
  readonly problems: readonly string[];
}

export interface ToolReport {
  readonly tools: readonly JsonObject[];
  readonly broken: readonly BrokenToolReport[];
}

export interface LetterQuery {
  /** Null: of all, and those that name no task. */
  readonly tenantId: string | null;
  readonly reason: string | null;
  readonly olderThan: number | null;
  /** 1–1000. */
  readonly limit: number;
}

/** What can be asked about dead letters. */
export interface LettersFront {
  /** Newest first; `next` is where the following page begins, when there may be one. */
  letters(
    query: LetterQuery,
    signal: AbortSignal,
  ): Promise<{ readonly letters: readonly LetterSummary[]; readonly next: number | null }>;
  /** Null for one that is not there, or is another tenant's; a null tenant is every tenant. */
  letter(id: number, tenantId: string | null, signal: AbortSignal): Promise<Letter | null>;
}

/** What became of a letter that was replayed. */
export type LetterReplay =
  | ({ readonly kind: "task" } & Submitted)
  /** It is due again; nothing runs. */
  | { readonly kind: "callback"; readonly key: TaskKey };

/**
 * What can be asked about tasks, here in this process or over a wire. Who may see a tenant has been settled before.
 * @throws ExecutorError with the reason of docs/failures.md.
 */
export interface Front extends LettersFront, AsyncDisposable {
  /**
   * Null for a task that is not there. With `waitMs` its result is waited for, so long at most; `isNew`: it was taken in a moment ago, and
   * need not be looked at before that.
   */
  get(key: TaskKey, waitMs: number, signal: AbortSignal, isNew?: boolean): Promise<FoundTask | null>;
  list(filter: FrontFilter, signal: AbortSignal): Promise<ListedTasks>;
  cancel(key: TaskKey, signal: AbortSignal): Promise<CancelAnswer>;
  /**
   * What the task did after `after`, from what is kept of it. With `follow` it goes on until the task has ended; the last event
   * of an ended task is its state FINISHED. Nothing for a task that is not there; ends when the signal aborts.
   */
  events(key: TaskKey, after: LogPosition, follow: boolean, signal: AbortSignal): AsyncIterable<TaskEvent>;
  /** Of a task that has ended; null where it kept nothing. */
  manifest(key: TaskKey, signal: AbortSignal): Promise<Manifest | null>;
  /** The bytes of one kept file, from `start` to `end` (exclusive). A chunk is good until the next is asked for. */
  artifact(
    key: TaskKey,
    entry: ManifestEntry,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  tools(signal: AbortSignal): Promise<ToolReport>;
}

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface Submitted {
  readonly key: TaskKey;
  /** False: the first task stands. */
  readonly isNew: boolean;
  /** What can be told of it while the store is away. */
  readonly received?: TaskSummary;
}

/** The same of an executor that takes tasks in. */
export interface ServerFront extends Front {
  /**
   * Takes a request in, as bytes or as an object; it is stored when this returns. The same request again finds the first task.
   * @param asked what the request must say, where it says anything of it at all.
   * @param traceparent that the call came with, as W3C Trace Context has it; null without.
   * @throws ExecutorError validation | unknown_tool | policy_denied | conflict | quota, with nothing stored.
   */
  submit(
    request: Uint8Array | object,
    asked: { readonly tenant_id?: string; readonly task_id?: string },
    traceparent: string | null,
    signal: AbortSignal,
  ): Promise<Submitted>;
  /**
   * A task that has ended once more, as a new one with this id: `metadata.replay_of` says whose it is.
   * @throws ExecutorError as `submit`; validation, for a task that is not there or has not ended; policy_denied, for one replay too many.
   */
  replay(key: TaskKey, taskId: string, signal: AbortSignal): Promise<Submitted>;
  /** A dead letter once more: its request as a new task, always with the same id, or its callback. Null as for `letter`. */
  replayLetter(id: number, tenantId: string | null, signal: AbortSignal): Promise<LetterReplay | null>;
  hasFile(tenantId: string, sha256: string, signal: AbortSignal): Promise<boolean>;
  /** @throws ExecutorError validation, when the bytes are others than the name says; nothing is kept then. */
  putFile(tenantId: string, sha256: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
}
