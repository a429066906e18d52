import type { Attempt } from "../model/attempt.ts";
import type { Reason } from "../model/failure.ts";
import type { Owner } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import type { Task, TaskKey, TaskState } from "../model/task.ts";

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

export type Intake =
  | { readonly kind: "accepted" }
  /** The same request again: the first task stands. */
  | { readonly kind: "duplicate"; readonly record: TaskRecord }
  /** The id is taken by another request. */
  | { readonly kind: "conflict" };

export interface TaskFilter {
  readonly tenantId?: string;
  readonly states?: readonly TaskState[];
  /** Only what was taken in before this task; nothing for one that is not there. */
  readonly olderThan?: TaskKey;
  /** Newest first; at most this many, 1–1000. */
  readonly limit: number;
}

/**
 * Tasks, attempts and results, durable before a call returns. Every write after a lease is fenced by attempt number and owner:
 * it answers false, and changes nothing, when another attempt or owner has the task or the task is finished.
 *
 * @throws ExecutorError internal for a store that cannot be read or written, naming the file or server and why.
 */
export interface TaskStore extends AsyncDisposable {
  /** Takes the task in as QUEUED. `requestSha256` is of its canonical JSON. A cancel that came first finds its task here. */
  intake(task: Task, requestSha256: string, signal: AbortSignal): Promise<Intake>;
  /** The next attempt of one queued task for `owner`, or null when it is not QUEUED, or `not_before` is to come. */
  leaseTask(key: TaskKey, owner: Owner, leaseMs: number, signal: AbortSignal): Promise<Attempt | null>;
  /**
   * The next attempt of any queued task that is due: of the tenant that has least under way, and among those priority first, then age.
   * A tenant's priority orders its own tasks, so a flood of one delays another's task by one task and not by the flood.
   */
  leaseNext(owner: Owner, leaseMs: number, signal: AbortSignal): Promise<Attempt | null>;
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
  /** The one terminal write: FINISHED with these bytes for ever, and the outbox row in the same transaction. */
  finish(attempt: Attempt, result: Result, resultBytes: Buffer, signal: AbortSignal): Promise<boolean>;
  /** Ends a task that no attempt holds (cancelled or expired while queued, lost by a dead owner); false if one does. */
  finishUnleased(
    key: TaskKey,
    expected: { readonly attempt: number; readonly owner: Owner | null },
    result: Result,
    resultBytes: Buffer,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** Marks the wish; idempotent. Answers the record, or null for a key never seen (a stub waits for it, for `stubTtlMs`). */
  requestCancel(key: TaskKey, stubTtlMs: number, signal: AbortSignal): Promise<TaskRecord | null>;
  get(key: TaskKey, signal: AbortSignal): Promise<TaskRecord | null>;
  list(filter: TaskFilter, signal: AbortSignal): Promise<readonly TaskRecord[]>;
}
