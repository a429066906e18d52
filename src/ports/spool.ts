import type { Lane, SpoolEntry, SpoolKind } from "../model/spool-entry.ts";
import type { TaskKey } from "../model/task.ts";

/** An entry where it is kept. */
export interface Spooled {
  /** Names it in this spool. */
  readonly id: string;
  /** Null for what cannot be read any more: it stays for people to look at. */
  readonly entry: SpoolEntry | null;
}

/** The last entry of a task that waits, and Unix ms of when it was put. */
export interface Waiting {
  readonly entry: SpoolEntry;
  readonly putAt: number;
}

/** `known`: the same request waits already. `conflict`: another request waits under its id. */
export type Put = "kept" | "known" | "conflict";

export interface SpoolTotals {
  readonly counts: Readonly<Record<SpoolKind, number>>;
  /** Unix ms at which the oldest was put; null when there is none. */
  readonly oldestAt: number | null;
}

/**
 * Keeps, in the order of each lane, the writes that the task store could not take, until somebody has brought them there. Processes that open the
 * same spool share it.
 * @throws ExecutorError internal and `isAway`, naming the place and why, with no secret in it, when it cannot be read or written now.
 */
export interface Spool extends AsyncDisposable {
  /**
   * Durable when it resolves. One `intake` of a task waits at a time, and one `cancel`; of refusals one for each message.
   * @throws ExecutorError internal and `isAway`, for an entry of `intakes` that has no room: what may wait is bounded. Ends are always let in.
   */
  put(entry: SpoolEntry, signal: AbortSignal): Promise<Put>;
  /** Of one lane, from the one after `after` on (null: from the oldest), at most `limit` (1–1000). They stay. */
  read(lane: Lane, after: string | null, limit: number, signal: AbortSignal): Promise<readonly Spooled[]>;
  /** Twice is once. */
  remove(ids: readonly string[], signal: AbortSignal): Promise<void>;
  /** Of what ends its attempt, otherwise its call; null when neither waits. Takes no longer the more there are. */
  find(key: TaskKey, signal: AbortSignal): Promise<Waiting | null>;
  totals(signal: AbortSignal): Promise<SpoolTotals>;
  /**
   * Does the work unless somebody else is at such work on this spool; null then. The work's signal aborts when it is no longer ours to do.
   * Whoever dies in it lets go of it.
   */
  exclusively<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | null>;
}
