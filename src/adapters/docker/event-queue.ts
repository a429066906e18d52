import type { SandboxEvent } from "../../ports/sandbox.ts";

/** Above this much waiting output the sandbox's stream is no longer read; below the half of it, it is again. */
const highWaterBytes = 1024 * 1024;

/** Batches of events between the attached stream and the one reader of them. */
export interface EventQueue {
  push(batch: readonly SandboxEvent[]): void;
  /** Nothing comes any more; the reader gets what waits, then its end. */
  close(): void;
  /** Each batch once, also when the reader leaves and comes back. */
  read(): AsyncIterable<readonly SandboxEvent[]>;
}

/** `onFull(true)`: hold the stream back; `onFull(false)`: go on. */
export function eventQueue(onFull: (full: boolean) => void): EventQueue {
  let waiting: SandboxEvent[] = [];
  let waitingBytes = 0;
  let full = false;
  let closed = false;
  let wake: (() => void) | null = null;

  const setFull = (value: boolean): void => {
    if (full === value) return;
    full = value;
    onFull(value);
  };

  const signalReader = (): void => {
    wake?.();
    wake = null;
  };

  return {
    push(batch) {
      if (closed || batch.length === 0) return;
      for (const event of batch) {
        waiting.push(event);
        if ("bytes" in event) waitingBytes += event.bytes.length;
      }
      if (waitingBytes > highWaterBytes) setFull(true);
      signalReader();
    },
    close() {
      closed = true;
      signalReader();
    },
    async *read() {
      for (;;) {
        if (waiting.length > 0) {
          const batch = waiting;
          waiting = [];
          waitingBytes = 0;
          setFull(false);
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
