import type { RedactionPoint } from "../model/redaction-point.ts";
import type { JsonObject } from "../model/task.ts";
import type { SandboxEvent } from "../ports/sandbox.ts";
import { formsVersion } from "../secrets/forms.ts";
import type { Redactor } from "../secrets/redactor.ts";
import type { TaskSecrets } from "./task-secrets.ts";

type Stream = "stdout" | "stderr";

/** A piece of output may be empty then: all of it is held back, or is a part of a secret that has its mark. */
export type RunEvent = SandboxEvent & { readonly redaction?: RedactionPoint };

/** Takes a task's secrets out of what its sandbox says, however it is cut. */
export interface RedactedOutput {
  /**
   * The same events in the same order. What is held back comes with a later piece of its stream; behind the last one it comes alone,
   * before the end, with the number before the end's. Each piece says where a successor would have to go on.
   */
  batch(events: readonly SandboxEvent[]): readonly RunEvent[];
  /** Bytes of a stream that were taken in here, as the task wrote them. */
  takenBytes(stream: Stream): number;
  /** Marks that another process wrote before. */
  readonly markedBefore: number;
}

/** What another process told of the output before. */
export interface ToldBefore {
  readonly point: RedactionPoint | null;
  readonly lastSeq: number;
}

/** @param before null: nothing was told yet. */
export function redactedOutput({ redaction, markCount }: TaskSecrets, before: ToldBefore | null): RedactedOutput {
  const from = before?.point ?? null;
  const markedBefore = from?.markCount ?? 0;
  const taken = { stdout: 0, stderr: 0 };
  const streams: Readonly<Record<Stream, Redactor>> = {
    stdout: redaction.stream(from?.stdout),
    stderr: redaction.stream(from?.stderr),
  };
  let lastSeq = before?.lastSeq ?? 0;
  const point = (): RedactionPoint => ({
    formsVersion,
    markCount: markedBefore + markCount(),
    stdout: streams.stdout.held(),
    stderr: streams.stderr.held(),
  });

  const rest = (seq: number, timeUs: number): readonly RunEvent[] =>
    (["stdout", "stderr"] as const).flatMap((kind) => {
      const bytes = streams[kind].flush();
      return bytes.length === 0 ? [] : [{ kind, seq, timeUs, bytes, redaction: point() }];
    });

  const redacted = (event: SandboxEvent): readonly RunEvent[] => {
    switch (event.kind) {
      case "stdout":
      case "stderr": {
        lastSeq = event.seq;
        taken[event.kind] += event.bytes.length;
        const bytes = streams[event.kind].push(event.bytes);
        return [{ ...event, bytes, redaction: point() }];
      }
      case "progress": {
        const value = redaction.json(event.value);
        return isObject(value) ? [{ ...event, value }] : [];
      }
      case "exit":
        // The end itself must come again to a successor, and so must have the highest number.
        return [...rest(event.seq - 1, event.timeUs), event];
      case "gone":
        return [...rest(lastSeq, 0), event];
      case "started":
      case "failed":
      case "artifacts":
      case "end":
      case "unknown":
        return [event];
    }
  };

  return {
    markedBefore,
    batch: (events) => events.flatMap(redacted),
    takenBytes: (stream) => taken[stream],
  };
}

/** Whether this process knows what another one held back. */
export const isKnown = (point: RedactionPoint | null): boolean =>
  point === null || point.formsVersion === formsVersion || point.stdout.bytes + point.stderr.bytes === 0;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
