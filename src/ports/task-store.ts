import type { Attempt } from "../model/attempt.ts";
import type { AuditRecord } from "../model/audit.ts";
import type { Reason } from "../model/failure.ts";
import type { CallbackRow, OutboxRow, Refusal } from "../model/outbox.ts";
import type { Owner } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import { type Task, type TaskKey, type TaskState, taskKey } from "../model/task.ts";
import type { OldTasks } from "./old-tasks.ts";

/** One task as it stands. Times are Unix milliseconds of the store's clock. */
export interface TaskRecord {
  readonly task: Task;
  readonly requestSha256: string;
  readonly state: TaskState;
  /** 0 before the first lease. */
  readonly attempt: number;
  readonly strikes: number;
  readonly owner: Owner | null;
  readonly leaseUntil: number | null;
  readonly cancelRequested: boolean;
  readonly receivedAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly sandboxId: string | null;
  /** The stored bytes of the result, answered verbatim ever after. */
  readonly resultBytes: Buffer | null;
  readonly reason: Reason | null;
}

/** An attempt that may begin together with its task: its sandbox stands ready, and so does what a successor would need. */
export interface Beginning {
  readonly owner: Owner;
  readonly leaseMs: number;
  readonly sandboxId: string;
  /** As for {@link TaskStore.running}. */
  readonly deadlineAt: number;
}

/** Where so many wait, whatever for, nothing begins at once: finding out whether one of them is due would take longer than its turn. */
export const lookedThrough = 100;

/** A first attempt as it stands when its task was begun at once. `at`: Unix milliseconds of the store's clock. */
export function begunWith(
  task: Task,
  requestSha256: string,
  { owner, leaseMs, sandboxId }: Beginning,
  at: number,
): Leased {
  const record: TaskRecord = {
    ...{
      task,
      requestSha256,
      state: "RUNNING",
      attempt: 1,
      strikes: 0,
      owner,
      leaseUntil: at + leaseMs,
      cancelRequested: false,
    },
    ...{ receivedAt: at, startedAt: at, finishedAt: null, sandboxId, resultBytes: null, reason: null },
  };
  return { attempt: { key: taskKey(task), number: 1, owner }, record };
}

export type Intake =
  /** `begun`: its first attempt is RUNNING as was asked, `unknown` where only the store could tell and does not now; not there: it is QUEUED. */
  | { readonly kind: "accepted"; readonly begun?: Leased | "unknown" }
  /** The same request again: the first task stands. */
  | { readonly kind: "duplicate"; readonly record: TaskRecord }
  /** The id is taken by another request. */
  | { readonly kind: "conflict" }
  /** As many wait as may: of this tenant, or in all. Nothing was stored. */
  | { readonly kind: "full"; readonly of: "tenant" | "all"; readonly maxCount: number };

/** How many tasks may be QUEUED when one more is taken in. What is given back to the queue is never refused. */
export interface QueueBounds {
  readonly perTenant: number;
  readonly inAll: number;
}

/** For stores that nothing is to bound. */
export const unbounded: QueueBounds = { perTenant: 2 ** 31 - 1, inAll: 2 ** 31 - 1 };

export interface TaskFilter {
  readonly tenantId?: string;
  readonly states?: readonly TaskState[];
  /** Only what was taken in before this task; nothing for one that is not there. */
  readonly olderThan?: TaskKey;
  /** Newest first; at most this many, 1–1000. */
  readonly limit: number;
}

export interface LetterFilter {
  readonly tenantId?: string;
  /** Only what came before this one. */
  readonly olderThan?: number;
  /** Newest first; at most this many, 1–1000. */
  readonly limit: number;
}

/** A dead letter without its bytes. */
export type LetterHead = Omit<OutboxRow, "value" | "kind">;

/** An attempt that has begun, and its task as it stands since. */
export interface Leased {
  readonly attempt: Attempt;
  readonly record: TaskRecord;
}

/** Who was seen to hold a task, or that nobody does. */
export interface Holder {
  readonly attempt: number;
  readonly owner: Owner | null;
  /** Count only a lease that has run out by the store's clock: all that can be known of an owner elsewhere. */
  readonly leaseExpired?: boolean;
}

/**
 * Tasks, attempts and results, durable before a call returns; but a lease, STARTING and COLLECTING may be lost with the store's machine until
 * the next call returns, all that came after them included. Every write after a lease is fenced by attempt number and owner:
 * it answers false, and changes nothing, when another attempt or owner has the task or the task is finished.
 *
 * @throws ExecutorError internal for a store that cannot be read or written, naming the file or server and why.
 */
export interface TaskStore extends OldTasks, AsyncDisposable {
  /**
   * Takes the task in as QUEUED. `requestSha256` is of its canonical JSON. A cancel that came first finds its task here. A task that is
   * known is found however full the queue is. Where many machines share the store, the bounds may be passed by as many as come at once.
   * With `beginning` a new task that need not wait, while no other that is due does, is RUNNING at once, in the same write: of its first
   * attempt, that of this owner. It begins QUEUED all the same when a cancel came first, or where {@link lookedThrough} wait for their time.
   * A call that fails may have begun it.
   */
  intake(task: Task, requestSha256: string, signal: AbortSignal, beginning?: Beginning): Promise<Intake>;
  /** The next attempt of one queued task for `owner`, or null when it is not QUEUED, or `not_before` is to come. */
  leaseTask(key: TaskKey, owner: Owner, leaseMs: number, signal: AbortSignal): Promise<Attempt | null>;
  /**
   * The next attempts of at most `count` queued tasks that are due (1–1000): each of the tenant that has least under way, among those of the
   * one whose last lease was longest ago, and of it by priority, then age. Fewer when there are no more, or others are taking them at this
   * moment. A tenant's priority orders its own tasks, so a flood of one delays another's task by one task and not by the flood.
   */
  leaseNext(count: number, owner: Owner, leaseMs: number, signal: AbortSignal): Promise<readonly Leased[]>;
  /** LEASED → STARTING. */
  starting(attempt: Attempt, signal: AbortSignal): Promise<boolean>;
  /** STARTING → RUNNING, with what adoption and the reaper need; before the task is given its command. */
  running(attempt: Attempt, sandboxId: string, deadlineAt: number, signal: AbortSignal): Promise<boolean>;
  /** RUNNING → COLLECTING. */
  collecting(attempt: Attempt, signal: AbortSignal): Promise<boolean>;
  /** Prolongs the lease and tells whether a cancel was asked for meanwhile; null when the fence no longer holds. */
  renew(attempt: Attempt, leaseMs: number, signal: AbortSignal): Promise<{ readonly cancelRequested: boolean } | null>;
  /** Back to QUEUED for another attempt; a strike counts towards the third, the last. */
  release(attempt: Attempt, strike: boolean, signal: AbortSignal): Promise<boolean>;
  /**
   * The one terminal write: FINISHED with these bytes for ever, and in the same transaction the outbox row, for a reason that
   * is dead-lettered the letter with the request, and for a task with a `callback_url` its callback.
   */
  finish(attempt: Attempt, result: Result, resultBytes: Buffer, signal: AbortSignal): Promise<boolean>;
  /** Ends a task that no attempt holds (cancelled or expired while queued, lost by a dead owner); false if one does. */
  finishUnleased(
    key: TaskKey,
    expected: Holder,
    result: Result,
    resultBytes: Buffer,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** Leases that have run out by the store's clock, the longest ago first; at most `limit`, 1–1000. */
  listExpired(limit: number, signal: AbortSignal): Promise<readonly TaskRecord[]>;
  /**
   * The attempt of a dead owner, with its number, as `owner`'s from now on: the sandbox goes on under it. Null when that attempt no longer
   * has the task. Whether the owner is dead is for the caller to know.
   */
  adopt(attempt: Attempt, owner: Owner, leaseMs: number, signal: AbortSignal): Promise<Attempt | null>;
  /** {@link TaskStore.release} for a holder who is gone: dead, or with a lease that has run out. */
  releaseLost(key: TaskKey, expected: Holder, strike: boolean, signal: AbortSignal): Promise<boolean>;
  /**
   * Messages for the transport that nobody has sent, in the order they came, at most `limit` (1–1000). For `claimMs` no other claim gets them;
   * what is not marked as published by then is anybody's again.
   */
  claimOutbox(limit: number, claimMs: number, signal: AbortSignal): Promise<readonly OutboxRow[]>;
  /**
   * Callbacks of ended tasks that are due, at most `limit` (1–1000), each with this try counted. For `claimMs` no other claim gets them.
   * One that was brought there is marked as published.
   */
  claimCallbacks(limit: number, claimMs: number, signal: AbortSignal): Promise<readonly CallbackRow[]>;
  /** Due again after `delayMs`; false when another try has begun, or it is over. */
  callbackLater(id: number, tries: number, delayMs: number, signal: AbortSignal): Promise<boolean>;
  /** Not tried again: it becomes a dead letter with the result's bytes. False as above. */
  callbackDead(id: number, tries: number, headers: OutboxRow["headers"], signal: AbortSignal): Promise<boolean>;
  /** They are never claimed again. Twice is once. */
  markPublished(ids: readonly number[], signal: AbortSignal): Promise<void>;
  /** How long the oldest message for the transport has waited that was not published; null when there is none. */
  outboxAgeMs(signal: AbortSignal): Promise<number | null>;
  /** One more message with the result of a finished task, for whoever asked again; false when it is not finished. */
  republish(key: TaskKey, signal: AbortSignal): Promise<boolean>;
  /** A dead letter for bytes that never became a task. */
  deadLetter(headers: OutboxRow["headers"], value: Buffer, signal: AbortSignal): Promise<void>;
  /** The same for one that was sent already, so that it is found here too; with the task that it names, where it names one. */
  keepLetter(key: TaskKey | null, headers: OutboxRow["headers"], value: Buffer, signal: AbortSignal): Promise<void>;
  /**
   * One more message for the transport: the refusal, or `known`, where there is a task of that name, the letter in its place.
   */
  refuse(refusal: Refusal, signal: AbortSignal): Promise<"answered" | "known">;
  /** Dead letters, sent or not, whose bytes are still there. */
  listLetters(filter: LetterFilter, signal: AbortSignal): Promise<readonly LetterHead[]>;
  /** Null for one that is not there. */
  getLetter(id: number, signal: AbortSignal): Promise<OutboxRow | null>;
  /** A callback that was given up is due again, with no try counted; false for any other letter. */
  callbackAgain(id: number, signal: AbortSignal): Promise<boolean>;
  /**
   * Marks the wish; idempotent. Answers the record, or null for a key never seen (a stub waits for it, for `stubTtlMs`). `kept`: the wish
   * is durable, and what became of the task cannot be said now.
   */
  requestCancel(key: TaskKey, stubTtlMs: number, signal: AbortSignal): Promise<TaskRecord | "kept" | null>;
  /** Adds to the audit, all or nothing; nothing ever changes there. Asked again after an answer that was lost, they may stand there twice. */
  audit(records: readonly AuditRecord[], signal: AbortSignal): Promise<void>;
  /** What was decided for a task, in the order it was added; at most `limit`, 1–1000. */
  listAudit(key: TaskKey, limit: number, signal: AbortSignal): Promise<readonly AuditRecord[]>;
  get(key: TaskKey, signal: AbortSignal): Promise<TaskRecord | null>;
  list(filter: TaskFilter, signal: AbortSignal): Promise<readonly TaskRecord[]>;
}
