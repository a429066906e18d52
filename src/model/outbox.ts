import type { Reason } from "./failure.ts";
import type { TaskKey } from "./task.ts";

/** `result`: for whoever asked. `dead_letter`: what came to nothing, with its bytes, for an operator. */
export type OutboxKind = "result" | "dead_letter";

/** What waits in the store until a relay has sent it. */
export interface OutboxRow {
  readonly id: number;
  readonly kind: OutboxKind;
  /** Null for a dead letter that is no task, and for a refusal. */
  readonly key: TaskKey | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent verbatim. */
  readonly value: Buffer;
  /** Unix ms of the store's clock. */
  readonly createdAt: number;
}

/** What answers a request that named a task and was not taken in. */
export interface Refusal {
  readonly key: TaskKey;
  readonly resultBytes: Buffer;
  /** For the dead letters, should there be a task of that name: its own answer stands, and the refusal would look like it. */
  readonly letter: { readonly headers: OutboxRow["headers"]; readonly value: Buffer };
}

/** A callback that is to be tried now. */
export interface CallbackRow {
  readonly id: number;
  readonly key: TaskKey;
  readonly url: string;
  /** The stored bytes of the result. */
  readonly value: Buffer;
  /** This one included. */
  readonly tries: number;
  /** When the task ended: Unix ms of the store's clock. */
  readonly createdAt: number;
}

/** With equal headers two messages for one task hold equal bytes: a receiver may drop the second. */
export const resultHeaders = (resultSha256: string): OutboxRow["headers"] => ({ "result-sha256": resultSha256 });

/** What a dead letter says of itself, beside the bytes as they came. */
export interface DeadLetterFacts {
  readonly reason: Reason;
  /** How far it came: `intake`, `execute`, `callback`. */
  readonly stage: string;
  readonly attempts: number;
  readonly firstSeenAt: number;
}

export const deadLetterHeaders = ({ reason, stage, attempts, firstSeenAt }: DeadLetterFacts): OutboxRow["headers"] => ({
  "dlq-reason": reason,
  "dlq-stage": stage,
  "dlq-attempts": String(attempts),
  "dlq-first-seen": new Date(firstSeenAt).toISOString(),
});
