import type { Attempt } from "./attempt.ts";
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
  | { readonly kind: "finish"; readonly attempt: Attempt; readonly resultBytes: Buffer }
  | { readonly kind: "release"; readonly attempt: Attempt; readonly strike: boolean };

export type SpoolKind = SpoolEntry["kind"];

/** What ends an attempt does not wait behind calls: its task is somebody else's after a while. */
export type Lane = "ends" | "intakes";

export const laneOf = (kind: SpoolKind): Lane => (kind === "intake" ? "intakes" : "ends");

export const spooledKey = (entry: SpoolEntry): TaskKey =>
  entry.kind === "intake" ? taskKey(entry.task) : entry.attempt.key;

/** Names an attempt among all of them. */
export const attemptName = ({ key, number }: Pick<Attempt, "key" | "number">): string => `${keyText(key)}/${number}`;
