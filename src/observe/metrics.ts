import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Reason } from "../model/failure.ts";
import type { Result } from "../model/result.ts";

/** What Prometheus is told. No label is a task, a tenant or a path: their number has no bound. */
export interface Metrics {
  taskFinished(result: Result): void;
  attemptReleased(reason: Reason): void;
  reaped(kind: "container" | "network" | "volume" | "folder" | "socket", count: number): void;
  /** One delivery of the transport, and what became of it. */
  delivered(fate: string): void;
  /** Messages that were sent and are marked. */
  published(kind: string, count: number): void;
  /** One try of a callback, and what came of it. */
  calledBack(outcome: string): void;
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
  /** 1 while it takes work. */
  readonly ready: () => number;
  /** How long the oldest message has waited; null where nothing sends any. */
  readonly outboxAgeMs: (() => Promise<number | null>) | null;
}

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
  const callbacks = new Counter({
    name: "tool_executor_callbacks_total",
    help: "Tries of callbacks over HTTP, by what came of them: delivered, failed (tried again later), dead.",
    labelNames: ["outcome"],
    registers,
  });
  return {
    calledBack: (outcome) => callbacks.inc({ outcome }),
    delivered: (fate) => deliveries.inc({ fate }),
    published: (kind, count) => published.inc({ kind }, count),
    taskFinished({ tool_name, status, reason, metrics: { queue_ms, start_ms, run_ms, duration_ms } }) {
      const tool = tool_name ?? "unknown";
      tasks.inc({ tool, status, reason });
      const phases = { queue: queue_ms, start: start_ms, run: run_ms, total: duration_ms };
      for (const [phase, ms] of Object.entries(phases)) if (ms !== null) durations.observe({ tool, phase }, ms / 1000);
    },
    attemptReleased: (reason) => retries.inc({ reason }),
    reaped: (kind, count) => {
      if (count > 0) reaped.inc({ kind }, count);
    },
    requestAnswered: (method, route, status, seconds) => requests.observe({ method, route, status }, seconds),
    gauges({ running, slots, droppedLogEntries, ready, outboxAgeMs }) {
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
      if (outboxAgeMs !== null)
        gauge("tool_executor_outbox_age_seconds", "How long the oldest message has waited to be sent.", async () => {
          // A store that is away must not take the other figures with it.
          const ageMs = await outboxAgeMs().catch(() => null);
          return ageMs === null ? 0 : ageMs / 1000;
        });
      gauge("tool_executor_running", "Attempts under way in this process.", running);
      gauge("tool_executor_slots", "Attempts this process may have under way at once.", slots);
      gauge("tool_executor_ready", "1 while this process takes work.", ready);
      gauge("tool_executor_log_entries_dropped", "Pieces of output the log sink could not take.", droppedLogEntries);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
