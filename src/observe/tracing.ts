import type { OtlpTarget } from "./otlp-tracing.ts";

/** What a span stands for: docs/operations.md has the tree of them. */
export type SpanName = "intake" | "lease" | "attempt" | "start" | "run" | "collect" | "store" | "publish";

/**
 * SAFETY: ids, names and numbers of ours only. What a task was given or said, and messages of errors that may quote it, never get here:
 * whoever reads traces need not be somebody who may read results.
 */
export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface SpanOptions {
  /** The `traceparent` it belongs under; null: a trace of its own. */
  readonly parent: string | null;
  readonly attributes?: SpanAttributes;
  readonly kind?: "internal" | "server" | "consumer" | "producer";
  /** Unix milliseconds; now where it is left out. */
  readonly startedAt?: number;
}

/** A piece of work while it goes on. Ends at dispose; twice is once. */
export interface Span extends Disposable {
  /** For what belongs under it; null where nothing is traced. */
  readonly traceparent: string | null;
  note(attributes: SpanAttributes): void;
  /** It came to nothing, for this reason of the closed list. */
  failed(reason: string): void;
}

/** Where spans go. No call waits or throws; what cannot be sent is dropped and counted. Dispose sends what waits, for 2 s at most. */
export interface Tracing extends AsyncDisposable {
  begin(name: SpanName, options: SpanOptions): Span;
  /** False: every span is nothing. */
  readonly isOn: boolean;
  /** Spans that no one got. */
  dropped(): number;
}

const noSpan: Span = {
  traceparent: null,
  note: () => undefined,
  failed: () => undefined,
  [Symbol.dispose]: () => undefined,
};

export const noTracing: Tracing = {
  begin: () => noSpan,
  isOn: false,
  dropped: () => 0,
  [Symbol.asyncDispose]: async () => undefined,
};

/** The packages for it are loaded only where spans have somewhere to go. */
export async function openTracing(target: OtlpTarget | null): Promise<Tracing> {
  if (target === null) return noTracing;
  const { otlpTracing } = await import("./otlp-tracing.ts");
  return otlpTracing(target);
}
