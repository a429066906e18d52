import type { LiveEvent } from "../executor/parts.ts";
import { keyText, type TaskKey } from "../model/task.ts";

/** What the tasks of this process do, for whoever is here at that moment; kept nowhere. */
export interface Pulse {
  beat(key: TaskKey, event: LiveEvent): void;
  /** Calls back, in order, until disposed. */
  listen(key: TaskKey, heard: (event: LiveEvent) => void): Disposable;
}

export function pulse(): Pulse {
  const listeners = new Map<string, Set<(event: LiveEvent) => void>>();
  return {
    beat(key, event) {
      for (const heard of listeners.get(keyText(key)) ?? []) heard(event);
    },
    listen(key, heard) {
      const text = keyText(key);
      const all = listeners.get(text) ?? new Set();
      listeners.set(text, all.add(heard));
      return {
        [Symbol.dispose]() {
          all.delete(heard);
          if (all.size === 0) listeners.delete(text);
        },
      };
    },
  };
}
