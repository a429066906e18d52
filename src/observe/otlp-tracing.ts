import {
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  type SpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Span, Tracing } from "./tracing.ts";

export interface OtlpTarget {
  /** The collector's address; spans go to `/v1/traces` below it. */
  readonly endpoint: string;
  /** Holds secrets, such as a token. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of ours: what tells this process from others. */
  readonly instance: string;
}

export interface OtlpBounds {
  /** Spans that wait; what comes beyond is dropped. */
  readonly maxWaiting: number;
  readonly delayMs: number;
  readonly sendMs: number;
  readonly goodbyeMs: number;
}

const defaultBounds: OtlpBounds = { maxWaiting: 4096, delayMs: 1000, sendMs: 5000, goodbyeMs: 2000 };
const atOnce = 512;

/** Spans in batches to a collector, as OTLP over HTTP. A caller's decision not to sample is followed. */
export function otlpTracing(target: OtlpTarget, bounds = defaultBounds): Tracing {
  const { processor, dropped } = counted(target, bounds);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": "tool-executor",
      "service.instance.id": target.instance,
    }),
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer("tool-executor");
  return {
    begin(name, { parent, attributes = {}, kind = "internal", startedAt }) {
      const context = parent === null ? null : spanContext(parent);
      const under = context === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context);
      const options = { kind: kinds[kind], attributes: { ...attributes } };
      return wrapped(
        tracer.startSpan(name, startedAt === undefined ? options : { ...options, startTime: startedAt }, under),
      );
    },
    dropped,
    isOn: true,
    async [Symbol.asyncDispose]() {
      const goodbye = Promise.withResolvers<void>();
      const timer = setTimeout(goodbye.resolve, bounds.goodbyeMs);
      await Promise.race([provider.shutdown().catch(() => undefined), goodbye.promise]);
      clearTimeout(timer);
    },
  };
}

function wrapped(span: import("@opentelemetry/api").Span): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  let hasEnded = false;
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
    note: (attributes) => void span.setAttributes({ ...attributes }),
    failed: (reason) => void span.setStatus({ code: SpanStatusCode.ERROR, message: reason }),
    [Symbol.dispose]() {
      if (!hasEnded) span.end();
      hasEnded = true;
    },
  };
}

/** The library drops in silence; here each span that it is given is either sent or counted. */
function counted(
  { endpoint, headers }: OtlpTarget,
  { maxWaiting, delayMs, sendMs }: OtlpBounds,
): { readonly processor: SpanProcessor; dropped(): number } {
  let waiting = 0;
  let dropped = 0;
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: sendMs,
    concurrencyLimit: 4,
  });
  const counting: SpanExporter = {
    export(spans, told) {
      exporter.export(spans, (result) => {
        waiting -= spans.length;
        if (result.code !== 0) dropped += spans.length;
        told(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
  const batches = new BatchSpanProcessor({
    exporter: counting,
    maxQueueSize: maxWaiting,
    maxExportBatchSize: Math.min(atOnce, maxWaiting),
    scheduledDelayMillis: delayMs,
    // Later than the exporter's own, which tells what became of them.
    exportTimeoutMillis: sendMs * 2,
  });
  const processor: SpanProcessor = {
    onStart: (span, context) => batches.onStart(span, context),
    onEnd(span) {
      if ((span.spanContext().traceFlags & 1) === 0) return;
      if (waiting >= maxWaiting) {
        dropped += 1;
        return;
      }
      waiting += 1;
      batches.onEnd(span);
    },
    shutdown: () => batches.shutdown(),
    forceFlush: () => batches.forceFlush(),
  };
  return { processor, dropped: () => dropped };
}

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  consumer: SpanKind.CONSUMER,
  producer: SpanKind.PRODUCER,
} as const;

/** Null for what is no `traceparent`. */
function spanContext(traceparent: string): SpanContext | null {
  const [, traceId = "", spanId = "", flags = "0"] = traceparent.split("-");
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  return isSpanContextValid(context) ? context : null;
}
