import { createHash } from "node:crypto";
import type { Attempt } from "./attempt.ts";
import type { Refusal } from "./outbox.ts";
import { keyText, type Task, type TaskKey, taskKey } from "./task.ts";

/** A write that the task store could not take when it was made. */
export type SpoolEntry =
  | {
      readonly kind: "intake";
      readonly task: Task;
      readonly requestSha256: string;
      /** Unix ms at which the store was asked for it and gave no answer: it may have it. Null: it was not asked. */
      readonly askedAt: number | null;
    }
  | { readonly kind: "cancel"; readonly key: TaskKey; readonly stubTtlMs: number }
  | ({ readonly kind: "refusal" } & Refusal)
  | { readonly kind: "finish"; readonly attempt: Attempt; readonly resultBytes: Buffer }
  | { readonly kind: "release"; readonly attempt: Attempt; readonly strike: boolean };

export type SpoolKind = SpoolEntry["kind"];

export const spoolKinds: readonly SpoolKind[] = ["intake", "cancel", "refusal", "finish", "release"];

/** How many there are of each kind; none of those that are not named. */
export const countsOf = (counts: Readonly<Record<string, number>>): Readonly<Record<SpoolKind, number>> =>
  Object.fromEntries(spoolKinds.map((kind) => [kind, counts[kind] ?? 0])) as Record<SpoolKind, number>;

/**
 * What ends an attempt does not wait behind what is asked from outside: its task is somebody else's after a while. A cancel keeps its
 * place behind the call that it is for.
 */
export type Lane = "ends" | "intakes";

export const laneOf = (kind: SpoolKind): Lane => (kind === "finish" || kind === "release" ? "ends" : "intakes");

export function spooledKey(entry: SpoolEntry): TaskKey {
  switch (entry.kind) {
    case "intake":
      return taskKey(entry.task);
    case "cancel":
    case "refusal":
      return entry.key;
    case "finish":
    case "release":
      return entry.attempt.key;
  }
}

/**
 * What makes an entry of `intakes` the same as another of its kind and task, in 64 hexadecimal digits. Of calls one waits at a time, so that
 * another one under the same name is a conflict; messages that are refused have their answers each.
 */
export function sameness(entry: SpoolEntry): string {
  switch (entry.kind) {
    case "intake":
      return entry.requestSha256;
    case "refusal":
      return createHash("sha256")
        .update(entry.letter.headers["dlq-source"] ?? "")
        .digest("hex");
    case "cancel":
    case "finish":
    case "release":
      return "0".repeat(64);
  }
}

/** Names an attempt among all of them. */
export const attemptName = ({ key, number }: Pick<Attempt, "key" | "number">): string => `${keyText(key)}/${number}`;
