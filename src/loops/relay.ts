import { setTimeout as sleep } from "node:timers/promises";
import type { OutboxRow } from "../model/outbox.ts";
import { keyText } from "../model/task.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { TaskStore } from "../ports/task-store.ts";
import type { OutgoingMessage, Transport } from "../ports/transport.ts";
import type { Bell } from "./bell.ts";
import { asHeaders, sendable } from "./dead-letters.ts";
import { resultMessage } from "./result-message.ts";

export interface RelayPorts {
  readonly store: TaskStore;
  readonly objects: ObjectStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tracing: Tracing;
  /** Rung when a task has ended here. What ends elsewhere is found by looking. */
  readonly bell: Bell;
  /** What the transport has taken; it is not marked yet. */
  readonly onSent: (rows: readonly OutboxRow[]) => void;
  /** What was sent and is marked. */
  readonly onPublished: (rows: readonly OutboxRow[]) => void;
  readonly onTrouble: (what: string, error: unknown) => void;
}

const atOnce = 100;
/** Longer than a send takes that fails: two relays with one row would only do no harm. */
const claimMs = 60_000;
const pollMs = 500;
const firstPauseMs = 250;
const longestPauseMs = 5000;

/** After it is told to stop: for what it is at, and for what is there. */
const lastRoundMs = 5000;

/**
 * Sends what waits in the outbox, verbatim and in its order, and marks it, until `signal` aborts; then, within 5 s, what it is at and
 * once more what is there, so that whoever stops it last leaves nothing behind. What was sent and not marked is sent again, the same bytes.
 */
export async function relay(ports: RelayPorts, signal: AbortSignal): Promise<void> {
  using patience = afterwards(signal, lastRoundMs);
  let pauseMs = firstPauseMs;
  while (!signal.aborted) {
    try {
      const rows = await ports.store.claimOutbox(atOnce, claimMs, patience.signal);
      if (rows.length === 0) await ports.bell.heard(pollMs, signal);
      else await sent(ports, rows, signal, patience.signal);
      pauseMs = firstPauseMs;
    } catch (error) {
      if (signal.aborted) break;
      ports.onTrouble("relay", error);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }
  await lastRound(ports, patience.signal);
}

async function lastRound(ports: RelayPorts, signal: AbortSignal): Promise<void> {
  try {
    for (let left = atOnce; left === atOnce; ) {
      const rows = await ports.store.claimOutbox(atOnce, claimMs, signal);
      left = rows.length;
      if (left > 0) await published(ports, rows, signal);
    }
  } catch (error) {
    // It stays in the outbox, for the next process.
    ports.onTrouble("relay", error);
  }
}

/** The claim is ours: what fails is tried again with the same rows, until the claim ends, or `signal` aborts. */
async function sent(
  ports: RelayPorts,
  rows: readonly OutboxRow[],
  signal: AbortSignal,
  patience: AbortSignal,
): Promise<void> {
  const endsAt = ports.clock.monotonicMs() + claimMs;
  let left = rows;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      left = await published(ports, left, patience);
      if (left.length === 0) return;
    } catch (error) {
      signal.throwIfAborted();
      ports.onTrouble("relay", error);
    }
    if (ports.clock.monotonicMs() + pauseMs > endsAt) return;
    await sleep(pauseMs, undefined, { signal });
  }
}

/** A signal that aborts `ms` after its parent. */
function afterwards(parent: AbortSignal, ms: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => controller.abort(parent.reason), ms);
  };
  if (parent.aborted) onAbort();
  else parent.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      parent.removeEventListener("abort", onAbort);
    },
  };
}

/** Answers the rows that could not be made ready: none of them holds the others up. */
async function published(
  ports: RelayPorts,
  rows: readonly OutboxRow[],
  signal: AbortSignal,
): Promise<readonly OutboxRow[]> {
  const made = await Promise.allSettled(rows.map((row) => messageOf(ports, row, signal)));
  const messages = made.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const ready = rows.filter((_, index) => made[index]?.status === "fulfilled");
  for (const each of made) if (each.status === "rejected") ports.onTrouble("relay", each.reason);
  if (ready.length > 0) {
    using spans = new DisposableStack();
    await ports.transport.publish(
      messages.map((message) => traced(ports.tracing, message, spans)),
      signal,
    );
    ports.onSent(ready);
    await ports.store.markPublished(
      ready.map(({ id }) => id),
      signal,
    );
    ports.onPublished(ready);
  }
  return rows.filter((row) => !ready.includes(row));
}

/** What a message's receiver does belongs under its `publish`, where the task has a trace and spans are made. */
function traced(tracing: Tracing, message: OutgoingMessage, spans: DisposableStack): OutgoingMessage {
  const [, came] = message.headers.find(([name]) => name === traceHeader) ?? [];
  if (came === undefined) return message;
  const attributes = { "tool_executor.channel": message.channel };
  const span = spans.use(tracing.begin("publish", { kind: "producer", parent: came.toString(), attributes }));
  if (span.traceparent === null) return message;
  const own = [traceHeader, Buffer.from(span.traceparent)] as const;
  return { ...message, headers: [...message.headers.filter(([name]) => name !== traceHeader), own] };
}

const traceHeader = "traceparent";

async function messageOf(
  { transport, objects }: RelayPorts,
  { kind, key, headers, value, id }: OutboxRow,
  signal: AbortSignal,
): Promise<OutgoingMessage> {
  switch (kind) {
    case "result":
      return await resultMessage(transport, objects, value, signal);
    case "dead_letter": {
      const source = key === null ? `outbox/${id}` : keyText(key);
      const letter: OutgoingMessage = {
        channel: "dead_letters",
        key: key?.taskId ?? null,
        value,
        headers: asHeaders({ "dlq-source": source, ...headers }),
      };
      return await sendable(letter, source, transport, objects, signal);
    }
  }
}
