import type { SandboxEvent } from "../../ports/sandbox.ts";

/** Batches of events between the attached stream and the one reader of them. */
export interface EventQueue {
  push(batch: readonly SandboxEvent[]): void;
  /** Nothing comes any more; the reader gets what waits, then its end. */
  close(): void;
  /** Each batch once, also when the reader leaves and comes back. */
  read(): AsyncIterable<readonly SandboxEvent[]>;
}

/** `onTaken`: the reader has what waited, and is done with what he had before. */
export function eventQueue(onTaken: () => void): EventQueue {
  let waiting: SandboxEvent[] = [];
  let closed = false;
  let wake: (() => void) | null = null;

  const wakeReader = (): void => {
    wake?.();
    wake = null;
  };

  return {
    push(batch) {
      if (closed || batch.length === 0) return;
      waiting.push(...batch);
      wakeReader();
    },
    close() {
      closed = true;
      wakeReader();
    },
    async *read() {
      for (;;) {
        if (waiting.length > 0) {
          const batch = waiting;
          waiting = [];
          onTaken();
          yield batch;
        } else if (closed) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
