import type { Attempt } from "../model/attempt.ts";
import type { RedactionPoint } from "../model/redaction-point.ts";

/** One piece of what a task wrote, in order, or a hole in it. */
export type LogEntry =
  | {
      readonly kind: "output";
      readonly seq: number;
      readonly atMs: number;
      readonly stream: "stdout" | "stderr";
      readonly bytes: Buffer;
      /** Of a task with secrets only; bytes may be none then. */
      readonly redaction?: RedactionPoint;
    }
  | { readonly kind: "gap"; readonly from: number; readonly to: number; readonly bytes: number };

/** The log aggregator: gets what a task writes while it runs. Never holds a task back; what it cannot take it counts. */
export interface LogSink extends AsyncDisposable {
  /** Must not throw and must not wait; the bytes are good for the time of the call only. */
  write(attempt: Attempt, entries: readonly LogEntry[], toolName: string): void;
  /** Pieces that were dropped since the start: entries, or lines where the sink keeps lines. */
  dropped(): number;
}
