import { attemptTask } from "../executor/attempt-task.ts";
import type { LiveEvent, Parts } from "../executor/parts.ts";
import type { TakenOver } from "../executor/take-over.ts";
import type { Attempt } from "../model/attempt.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { Leased } from "../ports/task-store.ts";
import type { Bell } from "./bell.ts";

/** What is under way in this process. */
export interface UnderWay {
  count(): number;
  /** Whether this process is at this attempt. */
  has(attempt: Pick<Attempt, "key" | "number">): boolean;
}

export interface ScheduleOptions {
  /** Attempts at once; there is no lease without room to run it. */
  readonly slots: number;
  /** Looked again after so long without a ring: tasks of other doors, and those whose time has come. */
  readonly pollMs: number;
  /** Rung when there may be work. */
  readonly bell: Bell;
  /** Sees what each task does, in order. Must not throw. */
  readonly watch: (key: TaskKey, event: LiveEvent) => void;
}

/** The loop that leases queued tasks and runs them. */
export interface Schedule extends AsyncDisposable {
  readonly underWay: UnderWay;
  /** Goes on with an attempt of a dead executor, beside those that have a slot. Dispose leaves one that did not come to that. */
  adopt(taken: TakenOver): void;
  /**
   * Runs until `stop` aborts, and then until the last attempt has ended. Attempts still at it when `giveUp` aborts are ended
   * and given back, or end `worker_lost` ({@link giveUpReason}).
   */
  run(stop: AbortSignal, giveUp: AbortSignal): Promise<void>;
}

/** The reason to abort `giveUp` with. */
export const giveUpReason = (): ExecutorError =>
  new ExecutorError("worker_lost", "the executor that ran the task was stopped before the task ended");

export function schedule(parts: Parts, options: ScheduleOptions): Schedule {
  const { bell } = options;
  const running = new Map<string, Promise<void>>();
  const adopted = new Map<string, TakenOver>();
  const nameOf = ({ key, number }: Pick<Attempt, "key" | "number">): string => `${keyText(key)}/${number}`;

  const start = (leased: Leased, giveUp: AbortSignal, taken?: TakenOver): void => {
    const name = nameOf(leased.attempt);
    const ended = attempted(parts, options, leased, giveUp, taken).finally(() => {
      running.delete(name);
      bell.ring();
    });
    running.set(name, ended);
  };

  return {
    underWay: {
      count: () => running.size + adopted.size,
      has: (attempt) => running.has(nameOf(attempt)) || adopted.has(nameOf(attempt)),
    },
    adopt(taken) {
      adopted.set(nameOf(taken.attempt), taken);
      bell.ring();
    },
    async run(stop, giveUp) {
      const goOn = (): void => {
        for (const [name, taken] of adopted) {
          start(taken, giveUp, taken);
          adopted.delete(name);
        }
      };
      while (!stop.aborted) {
        goOn();
        const leased = running.size < options.slots ? await next(parts, options.slots - running.size) : [];
        for (const each of leased) start(each, giveUp);
        // Whoever has got all there was looks again when there may be more.
        if (leased.length === 0) await bell.heard(options.pollMs, stop);
      }
      goOn();
      await Promise.all(running.values());
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...adopted.values()].map((taken) => taken.leave()));
      adopted.clear();
    },
  };
}

/** A store that cannot be asked now can be asked later. */
async function next({ store, liveness, policy, log }: Parts, count: number): Promise<readonly Leased[]> {
  try {
    return await store.leaseNext(count, liveness.self, policy.leaseMs, uninterrupted);
  } catch (error) {
    log.note("error", "lease.failed", { reason: reasonOf(error), message: messageOf(error) });
    return [];
  }
}

async function attempted(
  parts: Parts,
  { watch }: ScheduleOptions,
  { attempt, record }: Leased,
  giveUp: AbortSignal,
  taken?: TakenOver,
): Promise<void> {
  const { key, number } = attempt;
  const watcher = (event: LiveEvent): void => watch(key, event);
  try {
    await attemptTask(parts, attempt, record, { watcher, stdin: null, ...(taken && { taken }) }, giveUp);
  } catch (error) {
    // Its end could not be stored. The lease runs out, and the reaper finds a task that nobody is at.
    const place = { tenant_id: key.tenantId, task_id: key.taskId, attempt: number };
    parts.log.note("error", "attempt.failed", { ...place, reason: reasonOf(error), message: messageOf(error) });
  }
}

/** Once a lease may have been written it has to be known. */
const uninterrupted: AbortSignal = new AbortController().signal;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
