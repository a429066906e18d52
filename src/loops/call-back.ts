import { ExecutorError } from "../model/failure.ts";
import { type CallbackRow, deadLetterHeaders } from "../model/outbox.ts";
import { keyText } from "../model/task.ts";
import type { CallbackSender } from "../ports/callback-sender.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { TaskStore } from "../ports/task-store.ts";
import { callbackHeaders } from "../schema/callback-signature.ts";
import type { Bell } from "./bell.ts";
import { byReference } from "./result-message.ts";

export interface CallBackPorts {
  readonly store: TaskStore;
  readonly objects: ObjectStore;
  readonly sender: CallbackSender;
  readonly clock: Clock;
  /** Each body is signed by each of them. */
  readonly secrets: readonly Buffer[];
  /** The last of them makes a dead letter. */
  readonly maxTries: number;
  /** Rung when a task has ended here. What ends elsewhere is found by looking. */
  readonly bell: Bell;
  readonly onTried: (row: CallbackRow, outcome: CallbackOutcome, error: unknown) => void;
  readonly onTrouble: (what: string, error: unknown) => void;
}

/** What came of one try. */
export type CallbackOutcome = "delivered" | "failed" | "dead";

const atOnce = 16;
/** Longer than a try takes. */
const claimMs = 20_000;
const pollMs = 500;
/** Of a body; a larger result goes by reference. */
const maxBodyBytes = 1024 * 1024;
const firstDelayMs = 1000;
const longestDelayMs = 3_600_000;
/** After it is told to stop: for what ended last. */
const lastRoundMs = 5000;

/**
 * Calls back for tasks that have ended, the same body at every try, until `signal` aborts; then, within 5 s, for what ended last. A try
 * is counted before it is made, so that one which ends the process is not made for ever. What is not delivered stays in the store.
 */
export async function callBack(ports: CallBackPorts, signal: AbortSignal): Promise<void> {
  const patience = new AbortController();
  const running = new Set<Promise<void>>();
  const begin = async (): Promise<number> => {
    const rows = await claimed(ports, atOnce - running.size);
    for (const row of rows) {
      const trying = tried(ports, row, patience.signal).finally(() => {
        running.delete(trying);
        ports.bell.ring();
      });
      running.add(trying);
    }
    return rows.length;
  };
  while (!signal.aborted) if ((await begin()) === 0) await ports.bell.heard(pollMs, signal);
  const end = setTimeout(() => patience.abort(new Error("the server ends")), lastRoundMs);
  await begin();
  await Promise.all(running);
  clearTimeout(end);
}

/** A store that cannot be asked now can be asked later. */
async function claimed({ store, onTrouble }: CallBackPorts, limit: number): Promise<readonly CallbackRow[]> {
  if (limit === 0) return [];
  try {
    return await store.claimCallbacks(limit, claimMs, uninterrupted);
  } catch (error) {
    onTrouble("callbacks", error);
    return [];
  }
}

/** Never rejects: what could not be noted is tried again when the claim is over. */
async function tried(ports: CallBackPorts, row: CallbackRow, signal: AbortSignal): Promise<void> {
  const { store, sender, clock, secrets, maxTries, onTried, onTrouble } = ports;
  try {
    const body = row.value.length <= maxBodyBytes ? row.value : await byReference(row.value, ports.objects, signal);
    const failure = await failureOf(
      sender.send(row.url, callbackHeaders(secrets, keyText(row.key), clock.now(), body), body, signal),
    );
    if (failure === null) {
      await store.markPublished([row.id], uninterrupted);
      return onTried(row, "delivered", null);
    }
    // It is not the receiver's fault: the claim runs out, and the next start goes on.
    if (signal.aborted) return;
    const isDead = row.tries >= maxTries || failure.code === "policy_denied";
    if (isDead) await store.callbackDead(row.id, row.tries, lettered(row, failure), uninterrupted);
    else await store.callbackLater(row.id, row.tries, delayMs(row.tries), uninterrupted);
    onTried(row, isDead ? "dead" : "failed", failure);
  } catch (error) {
    onTrouble("callbacks", error);
  }
}

async function failureOf(sending: Promise<void>): Promise<ExecutorError | null> {
  try {
    await sending;
    return null;
  } catch (error) {
    return error instanceof ExecutorError ? error : new ExecutorError("internal", String(error), { cause: error });
  }
}

const lettered = (row: CallbackRow, { code, message }: ExecutorError): Readonly<Record<string, string>> => ({
  ...deadLetterHeaders({ reason: code, stage: "callback", attempts: row.tries, firstSeenAt: row.createdAt }),
  "dlq-error": message,
});

/** 1 s, 4 s, 16 s, … an hour. */
const delayMs = (tries: number): number => Math.min(firstDelayMs * 4 ** (tries - 1), longestDelayMs);

const uninterrupted: AbortSignal = new AbortController().signal;
