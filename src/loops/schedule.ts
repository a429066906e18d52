import { attemptTask, type Following } from "../executor/attempt-task.ts";
import type { Standing } from "../executor/ground.ts";
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
  /** Sees what each task does, in order. Must not throw; the attempt waits for a promise, which must not reject. */
  readonly watch: (key: TaskKey, event: LiveEvent) => void | Promise<void>;
}

/** A slot, held until one of its two calls is made. */
export interface Reservation {
  /** Aborts when nothing is to begin any more. */
  readonly stop: AbortSignal;
  free(): void;
  begin(leased: Leased, standing: Standing): void;
}

/** The loop that leases queued tasks and runs them. */
export interface Schedule extends AsyncDisposable {
  readonly underWay: UnderWay;
  /** Room for an attempt that may begin without a lease of its own; null: there is none, the attempt is under way, or none begins here now. */
  reserve(attempt: Pick<Attempt, "key" | "number">): Reservation | null;
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

  /** While it leases. */
  let signals: { readonly stop: AbortSignal; readonly giveUp: AbortSignal } | null = null;

  const over = (name: string): void => {
    running.delete(name);
    bell.ring();
  };
  const start = (leased: Leased, giveUp: AbortSignal, taken?: TakenOver): void => {
    const name = nameOf(leased.attempt);
    const following = taken === undefined ? {} : { taken };
    running.set(
      name,
      attempted(parts, options, leased, giveUp, following).finally(() => over(name)),
    );
  };
  const reserve = (attempt: Pick<Attempt, "key" | "number">): Reservation | null => {
    const name = nameOf(attempt);
    if (signals === null || signals.stop.aborted || running.size >= options.slots) return null;
    if (running.has(name) || adopted.has(name)) return null;
    const { stop, giveUp } = signals;
    const { promise, resolve } = Promise.withResolvers<void>();
    running.set(name, promise);
    return {
      stop,
      free() {
        over(name);
        resolve();
      },
      begin(leased, standing) {
        void attempted(parts, options, leased, giveUp, { standing }).finally(() => {
          over(name);
          resolve();
        });
      },
    };
  };

  return {
    underWay: {
      count: () => running.size + adopted.size,
      has: (attempt) => running.has(nameOf(attempt)) || adopted.has(nameOf(attempt)),
    },
    reserve,
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
      signals = { stop, giveUp };
      while (!stop.aborted) {
        goOn();
        const leased = running.size < options.slots ? await next(parts, options.slots - running.size) : [];
        for (const each of leased) start(each, giveUp);
        // Whoever has got all there was looks again when there may be more.
        if (leased.length === 0) await bell.heard(options.pollMs, stop);
      }
      signals = null;
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
  begun: Pick<Following, "taken" | "standing">,
): Promise<void> {
  const { key, number } = attempt;
  const watcher = (event: LiveEvent): void | Promise<void> => watch(key, event);
  try {
    await attemptTask(parts, attempt, record, { watcher, stdin: null, ...begun }, giveUp);
  } catch (error) {
    // Its end could not be stored. The lease runs out, and the reaper finds a task that nobody is at.
    const place = { tenant_id: key.tenantId, task_id: key.taskId, attempt: number };
    parts.log.note("error", "attempt.failed", { ...place, reason: reasonOf(error), message: messageOf(error) });
  }
}

/** Once a lease may have been written it has to be known. */
const uninterrupted: AbortSignal = new AbortController().signal;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
