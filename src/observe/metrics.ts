import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Reason } from "../model/failure.ts";
import type { Result } from "../model/result.ts";

/** What Prometheus is told. No label is a task, a tenant or a path: their number has no bound. */
export interface Metrics {
  taskFinished(result: Result): void;
  attemptReleased(reason: Reason): void;
  reaped(kind: "container" | "network" | "volume" | "folder" | "socket", count: number): void;
  /** What was past its time and went. */
  swept(kind: string, count: number): void;
  /** A pass of retention that broke off. */
  sweepFailed(): void;
  /** One delivery of the transport, and what became of it. */
  delivered(fate: string): void;
  /** Messages that were sent and are marked. */
  published(kind: string, count: number): void;
  /** What waits for the store in one place, by kind. */
  buffered(place: string, counts: Readonly<Record<string, number>>, ageMs: number): void;
  /** An entry left that place, and what became of it. */
  drained(kind: string, fate: string): void;
  /** One try of a callback, and what came of it. */
  calledBack(outcome: string): void;
  /** A call's sandbox came from those that stood ready (hit), from one on its way there (wait), or was made for it (miss). */
  warmGiven(outcome: "hit" | "wait" | "miss", waitSeconds: number): void;
  warmAged(seconds: number): void;
  /** One that stood ready was taken down without having been used. */
  warmRetired(why: string): void;
  warmFailed(): void;
  requestAnswered(method: string, route: string, status: number, seconds: number): void;
  /** What is asked for at each look. */
  readonly gauges: (read: MetricGauges) => void;
  /** In the text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export interface MetricGauges {
  readonly running: () => number;
  readonly slots: () => number;
  readonly droppedLogEntries: () => number;
  /** Spans that no collector got. */
  readonly droppedSpans: () => number;
  /** What `/readyz` names; while it is empty, work is taken. */
  readonly missing: () => Promise<readonly string[]>;
  /** The share of each place's disk that is free, 0 to 1. */
  readonly diskFree: () => Promise<Readonly<Record<string, number>>>;
  /** Sandboxes that stand ready, and those on their way there; null where none is to. */
  readonly warm: (() => { readonly ready: number; readonly starting: number }) | null;
  /** How long the oldest message has waited, given up when the signal aborts; null where nothing sends any. */
  readonly outboxAgeMs: ((signal: AbortSignal) => Promise<number | null>) | null;
  /** Messages that are not taken in, by channel; null where none come. */
  readonly lag: (() => Readonly<Record<string, number>>) | null;
}

/** Well within the 10 s that Prometheus waits. */
const answerMs = 2000;

export function metrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const tasks = new Counter({
    name: "tool_executor_tasks_total",
    help: "Tasks that ended here, by tool and by how they ended.",
    labelNames: ["tool", "status", "reason"],
    registers,
  });
  const redactions = new Counter({
    name: "tool_executor_redactions_total",
    help: "Places where a secret was taken out of what a task wrote or left, by tool.",
    labelNames: ["tool"],
    registers,
  });
  const durations = new Histogram({
    name: "tool_executor_duration_seconds",
    help: "Time of a task's phases: queue (taken in to leased), start (leased to started), run, total (taken in to stored).",
    labelNames: ["tool", "phase"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800],
    registers,
  });
  const retries = new Counter({
    name: "tool_executor_retries_total",
    help: "Attempts that were given back to the queue, by why.",
    labelNames: ["reason"],
    registers,
  });
  const reaped = new Counter({
    name: "tool_executor_reaped_total",
    help: "What dead executors left and the reaper took away, by kind.",
    labelNames: ["kind"],
    registers,
  });
  const swept = new Counter({
    name: "tool_executor_swept_total",
    help: "What was past its time and taken away, by kind.",
    labelNames: ["kind"],
    registers,
  });
  const sweepFailures = new Counter({
    name: "tool_executor_sweep_failures_total",
    help: "Passes over what is past its time that broke off; the next one goes on.",
    registers,
  });
  const requests = new Histogram({
    name: "tool_executor_http_request_duration_seconds",
    help: "HTTP requests, by method, route and status; streams count until their end.",
    labelNames: ["method", "route", "status"],
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers,
  });
  const deliveries = new Counter({
    name: "tool_executor_deliveries_total",
    help: "Messages of the transport that were dealt with, by what became of them.",
    labelNames: ["fate"],
    registers,
  });
  const published = new Counter({
    name: "tool_executor_published_total",
    help: "Messages that were sent, by kind.",
    labelNames: ["kind"],
    registers,
  });
  const buffered = new Gauge({
    name: "tool_executor_buffered",
    help: "Writes that wait for the database, by place (redis, disk) and kind (intake, finish, release).",
    labelNames: ["place", "kind"],
    registers,
  });
  const bufferAge = new Gauge({
    name: "tool_executor_buffer_age_seconds",
    help: "How long the oldest write has waited for the database, by place.",
    labelNames: ["place"],
    registers,
  });
  const drained = new Counter({
    name: "tool_executor_drained_total",
    help: "Writes that waited and were brought to the database, by kind and by what became of them.",
    labelNames: ["kind", "fate"],
    registers,
  });
  const callbacks = new Counter({
    name: "tool_executor_callbacks_total",
    help: "Tries of callbacks over HTTP, by what came of them: delivered, failed (tried again later), dead.",
    labelNames: ["outcome"],
    registers,
  });
  const warmGiven = new Histogram({
    name: "tool_executor_warm_wait_seconds",
    help: "How long a call waited for its sandbox, by where it came from: hit (stood ready), wait (was on its way), miss (made for it).",
    labelNames: ["outcome"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  });
  const warmAges = new Histogram({
    name: "tool_executor_warm_age_seconds",
    help: "How long a sandbox had stood ready when a task got it.",
    buckets: [0.1, 1, 5, 15, 60, 300, 900, 3600],
    registers,
  });
  const warmRetired = new Counter({
    name: "tool_executor_warm_retired_total",
    help: "Sandboxes that stood ready and were never used, by why they went: aged, excess, lost, unfit, told, closed.",
    labelNames: ["why"],
    registers,
  });
  const warmFailures = new Counter({
    name: "tool_executor_warm_failures_total",
    help: "Sandboxes that could not be made ready; it is tried again.",
    registers,
  });
  const egressConnections = new Counter({
    name: "tool_executor_egress_total",
    help: "Connections and requests of tasks to the outside, by what became of them.",
    labelNames: ["verdict"],
    registers,
  });
  const egressBytes = new Counter({
    name: "tool_executor_egress_bytes_total",
    help: "What they carried, in to tasks and out of them.",
    labelNames: ["way"],
    registers,
  });
  return {
    buffered(place, counts, ageMs) {
      for (const [kind, count] of Object.entries(counts)) buffered.set({ place, kind }, count);
      bufferAge.set({ place }, ageMs / 1000);
    },
    drained: (kind, fate) => drained.inc({ kind, fate }),
    calledBack: (outcome) => callbacks.inc({ outcome }),
    delivered: (fate) => deliveries.inc({ fate }),
    published: (kind, count) => published.inc({ kind }, count),
    taskFinished({ tool_name, status, reason, egress, metrics: figures }) {
      const { queue_ms, start_ms, run_ms, duration_ms, redactions: count } = figures;
      for (const { verdict, connections, bytes_in, bytes_out } of egress) {
        egressConnections.inc({ verdict }, connections);
        egressBytes.inc({ way: "in" }, bytes_in);
        egressBytes.inc({ way: "out" }, bytes_out);
      }
      const tool = tool_name ?? "unknown";
      tasks.inc({ tool, status, reason });
      redactions.inc({ tool }, count);
      const phases = { queue: queue_ms, start: start_ms, run: run_ms, total: duration_ms };
      for (const [phase, ms] of Object.entries(phases)) if (ms !== null) durations.observe({ tool, phase }, ms / 1000);
    },
    attemptReleased: (reason) => retries.inc({ reason }),
    reaped: (kind, count) => {
      if (count > 0) reaped.inc({ kind }, count);
    },
    swept: (kind, count) => {
      if (count > 0) swept.inc({ kind }, count);
    },
    sweepFailed: () => sweepFailures.inc(),
    warmGiven: (outcome, seconds) => warmGiven.observe({ outcome }, seconds),
    warmAged: (seconds) => warmAges.observe(seconds),
    warmRetired: (why) => warmRetired.inc({ why }),
    warmFailed: () => warmFailures.inc(),
    requestAnswered: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    gauges({ running, slots, droppedLogEntries, droppedSpans, missing, diskFree, outboxAgeMs, lag, warm }) {
      const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
        new Gauge({
          name,
          help,
          registers,
          async collect() {
            this.set(await read());
          },
        });
      };
      /** One for each value of a label, as many as there are now. */
      const gauges = (
        name: string,
        help: string,
        label: string,
        read: () => Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>,
      ): void => {
        new Gauge({
          name,
          help,
          labelNames: [label],
          registers,
          async collect() {
            const values = await read();
            this.reset();
            for (const [value, number] of Object.entries(values)) this.set({ [label]: value }, number);
          },
        });
      };
      if (outboxAgeMs !== null)
        gauge("tool_executor_outbox_age_seconds", "How long the oldest message has waited to be sent.", async () => {
          // A store that is away must not take the other figures with it: they are asked for at most so long.
          const ageMs = await outboxAgeMs(AbortSignal.timeout(answerMs)).catch(() => null);
          return ageMs === null ? 0 : ageMs / 1000;
        });
      if (lag !== null)
        gauges(
          "tool_executor_lag_messages",
          "Messages of this process's partitions that are not taken in, by channel (tools, control); none while it has no partition.",
          "channel",
          lag,
        );
      if (warm !== null)
        gauges("tool_executor_warm_sandboxes", "Sandboxes for tasks to come, by state.", "state", async () => ({
          ...warm(),
        }));
      gauge("tool_executor_running", "Attempts under way in this process.", running);
      gauge("tool_executor_slots", "Attempts this process may have under way at once.", slots);
      const isReady = async (): Promise<number> => ((await missing()).length === 0 ? 1 : 0);
      gauge("tool_executor_ready", "1 while /readyz says so: this process takes work.", isReady);
      const each = async (): Promise<Readonly<Record<string, number>>> =>
        Object.fromEntries((await missing()).map((name) => [name, 1]));
      gauges("tool_executor_missing", "1 for each thing that /readyz names.", "name", each);
      gauges("tool_executor_disk_free_ratio", "Share of the disk that is free, by place.", "place", diskFree);
      gauge("tool_executor_spans_dropped", "Spans that the collector could not take.", droppedSpans);
      gauge("tool_executor_log_entries_dropped", "Pieces of output the log sink could not take.", droppedLogEntries);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
