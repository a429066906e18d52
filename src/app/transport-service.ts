import { kafkaTransport } from "../adapters/kafka/kafka-transport.ts";
import type { LiveEvent, Parts } from "../executor/parts.ts";
import type { AtOnce } from "../executor/take-in.ts";
import { bell } from "../loops/bell.ts";
import { endsUnsent } from "../loops/ends-unsent.ts";
import { intake, type Taken } from "../loops/intake.ts";
import { progressReporter } from "../loops/progress.ts";
import { relay } from "../loops/relay.ts";
import type { OutboxRow } from "../model/outbox.ts";
import type { Task, TaskKey } from "../model/task.ts";
import type { Transport, TransportEvent } from "../ports/transport.ts";
import { defaultMaxRequestBytes } from "../schema/request-caps.ts";
import type { Config } from "./config.ts";

/** What a service tells of its transport, for metrics, log and readiness. */
export interface ServiceEvents {
  /** There may be something to lease. */
  readonly onWaiting: () => void;
  readonly onTaken: (taken: Taken) => void;
  readonly onPublished: (rows: readonly OutboxRow[]) => void;
  readonly onTrouble: (what: string, error: unknown) => void;
}

/** Intake, relay and progress on one transport. */
export interface TransportService {
  /**
   * Sees what each task does; never rejects, and waits for nothing but this: after a task's end, until its result was sent, but no longer
   * than some 50 ms. What is taken down behind a task would be in its result's way.
   */
  watch(key: TaskKey, event: LiveEvent): void | Promise<void>;
  /**
   * Takes calls in until `stopIntake` aborts, and sends what waits until `stopRelay` does, which comes last: after the tasks have ended.
   * @throws ExecutorError validation, for topics that are missing and may not be made.
   */
  run(stopIntake: AbortSignal, stopRelay: AbortSignal): Promise<void>;
  /** Null while calls can come in; otherwise why not. */
  problem(): string | null;
  /** Deliveries of this process's part that are not taken in, by channel; as {@link Transport.lag}. */
  lag(): Readonly<Record<string, number>>;
  /** Progress messages that were left out so far. */
  droppedProgress(): number;
}

/** The transport that the configuration names, with nothing connected yet; null when it names none. */
export function openTransport({ kafka }: Config, onEvent: (event: TransportEvent) => void): Transport | null {
  return kafka === null ? null : kafkaTransport(kafka, onEvent);
}

export function transportService(
  parts: Parts,
  parseTask: (body: unknown) => Task,
  transport: Transport,
  events: ServiceEvents,
  atOnce: AtOnce | null = null,
): TransportService {
  const { store, objects, clock, tracing } = parts;
  const progress = progressReporter(transport, clock);
  const relayBell = bell();
  const ends = endsUnsent();
  const intakePorts = {
    parts,
    transport,
    atOnce,
    parseTask,
    maxRequestBytes: defaultMaxRequestBytes,
    onTaken(taken: Taken) {
      // A result that is to be sent again, a queued task that was cancelled.
      if (taken === "duplicate" || taken === "cancel") relayBell.ring();
      events.onTaken(taken);
    },
    onAccepted(key: TaskKey, hasBegun: boolean) {
      progress.report(key, { event: "queued" });
      if (!hasBegun) events.onWaiting();
    },
  };
  const relayPorts = { store, objects, transport, clock, tracing, bell: relayBell, onSent: ends.sent, ...events };
  return {
    watch(key, event) {
      progress.watch(key, event);
      if (event.kind !== "state" || event.state !== "FINISHED") return;
      relayBell.ring();
      return ends.untilSent(key);
    },
    async run(stopIntake, stopRelay) {
      const stopAll = new AbortController();
      const onStopRelay = (): void => stopAll.abort(stopRelay.reason);
      if (stopRelay.aborted) onStopRelay();
      else stopRelay.addEventListener("abort", onStopRelay, { once: true });
      try {
        await Promise.all([
          intake(intakePorts, stopIntake).catch((error: unknown) => {
            stopAll.abort(error);
            throw error;
          }),
          relay(relayPorts, stopAll.signal),
          progress.run(stopAll.signal),
        ]);
      } finally {
        stopRelay.removeEventListener("abort", onStopRelay);
      }
    },
    problem: transport.problem,
    lag: transport.lag,
    droppedProgress: progress.dropped,
  };
}
