import type { JsonObject, Task } from "./task.ts";

/** A request's place in a trace, as W3C Trace Context has it. */
export interface TraceContext {
  /** The whole header, as it goes into the sandbox and out again. */
  readonly traceparent: string;
  /** 32 hex digits. */
  readonly traceId: string;
}

/** Null for what is no `traceparent`: a garbled trace is no reason to refuse a call. */
export function traceContext(traceparent: unknown): TraceContext | null {
  if (typeof traceparent !== "string") return null;
  const [, version, traceId, spanId] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-[\x21-\x7e]{1,400})?$/.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || version === "ff") return null;
  // Of the first version nothing follows, and all zeros is no id.
  if (version === "00" && traceparent.length !== 55) return null;
  return /^0+$/.test(traceId) || /^0+$/.test(spanId) ? null : { traceparent, traceId };
}

/** Where a task carries it: with what the caller says of the call, so that it makes no other request of it. */
export const traceOf = (metadata: JsonObject): TraceContext | null => traceContext(metadata.traceparent);

/** The task with the trace its message or call came with, unless it names one itself. */
export function withTrace(task: Task, traceparent: unknown): Task {
  const trace = traceContext(traceparent);
  if (trace === null || traceOf(task.metadata) !== null) return task;
  return { ...task, metadata: { ...task.metadata, traceparent: trace.traceparent } };
}
