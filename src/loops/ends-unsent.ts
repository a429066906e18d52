import type { OutboxRow } from "../model/outbox.ts";
import { keyText, type TaskKey } from "../model/task.ts";

/** Tasks that have ended, and whose results are on their way out. */
export interface EndsUnsent {
  /**
   * Resolves when this task's result was sent, and has had a moment to arrive; after some 50 ms in any case: a transport that is away must not
   * keep sandboxes. Never rejects.
   */
  untilSent(key: TaskKey): Promise<void>;
  sent(rows: readonly OutboxRow[]): void;
}

const patienceMs = 50;
/** Whoever receives it has the processors first. */
const receivedMs = 5;

export function endsUnsent(): EndsUnsent {
  const waiting = new Map<string, (afterMs: number) => void>();
  return {
    untilSent: (key) =>
      new Promise((resolve) => {
        const name = keyText(key);
        const goOn = (afterMs: number): void => {
          clearTimeout(timer);
          if (waiting.get(name) === goOn) waiting.delete(name);
          if (afterMs === 0) resolve();
          else setTimeout(resolve, afterMs);
        };
        const timer = setTimeout(() => goOn(0), patienceMs);
        waiting.set(name, goOn);
      }),
    sent(rows) {
      for (const { key } of rows) if (key !== null) waiting.get(keyText(key))?.(receivedMs);
    },
  };
}
