import { ExecutorError } from "../../src/model/failure.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";

/** `away`: nothing reaches the store. `deaf`: it does what it is asked, and no answer comes back. `barred`: it lets us do nothing. */
export type Fault = "away" | "deaf" | "barred" | null;

/** A store with faults that a test sets, and the names of the calls that were made. */
export interface FaultyStore {
  readonly store: TaskStore;
  readonly calls: readonly string[];
  set(fault: Fault): void;
}

export function faultyStore(inner: TaskStore): FaultyStore {
  let fault: Fault = null;
  const calls: string[] = [];
  const store = Object.fromEntries(
    Object.entries(inner).map(([name, method]: [string, (...given: unknown[]) => Promise<unknown>]) => [
      name,
      async (...given: unknown[]): Promise<unknown> => {
        calls.push(name);
        const answer = fault === "away" || fault === "barred" ? undefined : await method(...given);
        if (fault === "barred")
          throw new ExecutorError("internal", "task store db:5432/x: the server refuses this user", {
            away: "store",
            isBarred: true,
          });
        if (fault !== null) throw new ExecutorError("internal", "task store db:5432/x: no answer", { away: "store" });
        return answer;
      },
    ]),
  );
  // What has no name as a string is its dispose, which has no faults.
  return {
    store: { ...inner, ...store },
    calls,
    set(next) {
      fault = next;
    },
  };
}
