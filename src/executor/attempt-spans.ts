import { traceOf } from "../model/trace-context.ts";
import type { Span, Tracing } from "../observe/tracing.ts";
import type { Line } from "./execute-task.ts";

/** The steps of an attempt, one after the other, below its own span. Dispose ends what goes on. */
export interface AttemptSpans extends Disposable {
  /** The step before ends, this one begins; its `traceparent`, or null where nothing is traced. */
  next(step: "start" | "run" | "collect" | "store"): string | null;
  /** The step that goes on, and with it the attempt, came to nothing. */
  failed(reason: string): void;
  /** How the task ended; null: it was no longer ours to end. */
  ended(reason: string | null): void;
}

/** Beside the attempt stands how long the task waited for it. */
export function attemptSpans(tracing: Tracing, line: Line, leasedAt: number): AttemptSpans {
  const { attempt, task, receivedAt } = line;
  const parent = traceOf(task.metadata)?.traceparent ?? null;
  const attributes = {
    "tool_executor.tenant_id": attempt.key.tenantId,
    "tool_executor.task_id": attempt.key.taskId,
    "tool_executor.tool": task.tool_name,
    "tool_executor.attempt": attempt.number,
  };
  using _waited = tracing.begin("lease", { parent, attributes, startedAt: Math.min(receivedAt, leasedAt) });
  const whole = tracing.begin("attempt", { parent, attributes, startedAt: leasedAt });
  let step: Span | null = null;
  return {
    next(name) {
      step?.[Symbol.dispose]();
      step = tracing.begin(name, { parent: whole.traceparent });
      return step.traceparent;
    },
    failed(reason) {
      step?.failed(reason);
      whole.failed(reason);
    },
    ended(reason) {
      if (reason === null) whole.failed("worker_lost");
      else whole.note({ "tool_executor.reason": reason });
    },
    [Symbol.dispose]() {
      step?.[Symbol.dispose]();
      whole[Symbol.dispose]();
    },
  };
}
