import type { LogEntry } from "./log-sink.ts";

/** How much of an attempt's output was written and how much of it is kept. */
export interface JournalTotals {
  readonly writtenBytes: number;
  readonly keptBytes: number;
}

/**
 * What one attempt wrote, on local disk while it runs: the head and the tail up to a cap, and the hole between them.
 * A frame is acknowledged to the sandbox only when it stands here, so a successor can go on from the last one.
 */
export interface Journal extends AsyncDisposable {
  /** @throws ExecutorError internal when the disk is full or not writable. */
  append(entries: readonly LogEntry[]): void;
  /** What is kept, in order, with one `gap` in place of what is not. An entry's bytes are good until the next is asked for. */
  entries(): Iterable<LogEntry>;
  totals(): JournalTotals;
}
