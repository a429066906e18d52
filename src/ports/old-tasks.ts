import type { OutboxKind } from "../model/outbox.ts";
import type { TaskKey } from "../model/task.ts";

/** A task that ended long ago, as retention sees it. */
export interface OldTask {
  readonly key: TaskKey;
  /** The number of its last attempt; those before may have left something too. */
  readonly attempt: number;
  /** Unix milliseconds of the store's clock. */
  readonly finishedAt: number;
  /** Orders tasks that ended in one millisecond. */
  readonly serial: number;
}

/** What a task leaves: its row with the answer; beside it, in other stores, its log and its artifacts. */
export type Leaving = "results" | "logs" | "artifacts";

/**
 * The side of a task store that retention works with. `abandoned` are the kinds of message that nobody sends here: they hold no task back.
 * A task that has not ended, or of which a message of another kind is still to be sent, is never among the old ones.
 */
export interface OldTasks {
  /** Tasks that ended `olderThanMs` ago or before and are not marked as swept of `what`, the longest ago first; at most `limit`, 1–1000. */
  listOld(
    what: Leaving,
    olderThanMs: number,
    abandoned: readonly OutboxKind[],
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly OldTask[]>;
  /** This task and all that ended before it are not listed for `what` again. Never goes back. */
  markSwept(what: Exclude<Leaving, "results">, last: OldTask, signal: AbortSignal): Promise<void>;
  /**
   * Takes away the tasks' rows, with their attempts and messages: from then on they were never there. One for which a message came up
   * meanwhile stays. Answers how many went.
   */
  forget(tasks: readonly OldTask[], abandoned: readonly OutboxKind[], signal: AbortSignal): Promise<number>;
  /** Takes away at most `limit` (1–1000) messages that were sent `olderThanMs` ago or before. Answers how many. */
  forgetSent(kinds: readonly OutboxKind[], olderThanMs: number, limit: number, signal: AbortSignal): Promise<number>;
  /** The same for audit records, which are as old as they say. */
  forgetAudit(olderThanMs: number, limit: number, signal: AbortSignal): Promise<number>;
}
