import type { Reason } from "../model/failure.ts";

/** Why a message went to the dead letters. */
export interface DeadLetterFacts {
  readonly reason: Reason;
  /** What was being done with it. */
  readonly stage: "intake" | "run";
  readonly attempts: number;
  /** `topic/partition/offset`, of a batch `…/first-last`; of a task that had been taken in, `tenant/task`. */
  readonly source: string;
  /** Unix milliseconds. */
  readonly firstSeenAt: number;
}

/** What stands beside the original headers, as on the wire (docs/wire.md). */
export function deadLetterHeaders(facts: DeadLetterFacts): readonly (readonly [string, Buffer])[] {
  const header = (name: string, value: string) => [`dlq-${name}`, Buffer.from(value)] as const;
  return [
    header("reason", facts.reason),
    header("stage", facts.stage),
    header("attempts", String(facts.attempts)),
    header("source", facts.source),
    header("first-seen", new Date(facts.firstSeenAt).toISOString()),
  ];
}
