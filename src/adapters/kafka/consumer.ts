import { setTimeout as sleep } from "node:timers/promises";
import type { Consumer, EachBatchPayload, Kafka, KafkaMessage } from "kafkajs";
import { ExecutorError } from "../../model/failure.ts";
import type { Delivery, Headers, Inbound, TransportEvent } from "../../ports/transport.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import type { Lag } from "./lag.ts";
import type { BatchRecord } from "./record-batch.ts";
import { ensureTopics } from "./topics.ts";

export interface ConsumeOptions {
  readonly settings: KafkaSettings;
  readonly take: (delivery: Delivery, signal: AbortSignal) => Promise<void>;
  readonly onEvent: (event: TransportEvent) => void;
  /** Called after each fetch that was answered, some twice a second. */
  readonly onAnswered: () => void;
  /** Kept up for as long as it is a member. */
  readonly lag: Lag;
}

const inbound: readonly Inbound[] = ["tools", "control"];
const firstPauseMs = 250;
const longestPauseMs = 5000;
/** Of one partition, taken at once. */
const atOnce = 32;

/** A member of the group for as long as `signal` does not abort. A consumer that fails is replaced by a new one. */
export async function consumeKafka(kafka: Kafka, options: ConsumeOptions, signal: AbortSignal): Promise<void> {
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const startedAt = performance.now();
    try {
      await ensureTopics(kafka, options.settings);
      await consumeOnce(kafka, options, signal);
    } catch (error) {
      if (error instanceof ExecutorError && error.code === "validation") throw error;
      if (signal.aborted) return;
      options.onEvent({ kind: "trouble", what: "consume", why: whyOf(error) });
    }
    if (performance.now() - startedAt > 2 * longestPauseMs) pauseMs = firstPauseMs;
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Until `signal` aborts. @throws why the consumer cannot go on. */
async function consumeOnce(kafka: Kafka, options: ConsumeOptions, signal: AbortSignal): Promise<void> {
  const { settings, onEvent, lag } = options;
  const channels = new Map(inbound.map((channel) => [settings.topics[channel], channel]));
  const consumer = kafka.consumer({
    groupId: settings.groupId,
    sessionTimeout: settings.sessionTimeoutMs,
    heartbeatInterval: heartbeatMs(settings),
    rebalanceTimeout: Math.max(30_000, settings.sessionTimeoutMs),
    maxWaitTimeInMs: 500,
    allowAutoTopicCreation: false,
    // We make a new one ourselves, with topics looked at again.
    retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 4, restartOnFailure: async () => false },
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  // Looked at below, whenever it comes.
  ended.catch(() => undefined);
  const pauses = partitionPauses(consumer);
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.on(consumer.events.FETCH, () => options.onAnswered());
  consumer.on(consumer.events.REQUEST_TIMEOUT, ({ payload: { broker } }) =>
    onEvent({ kind: "trouble", what: "consume", why: `${broker} does not answer` }),
  );
  consumer.on(consumer.events.REBALANCING, () => onEvent({ kind: "rebalancing" }));
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    lag.assigned(payload.memberAssignment);
    onEvent({ kind: "joined", partitions: Object.values(payload.memberAssignment).flat().length });
  });
  consumer.on(consumer.events.START_BATCH_PROCESS, ({ payload }) => {
    const { topic, partition, highWatermark, batchSize, firstOffset, lastOffset } = payload;
    // Marks of transactions only: no batch of ours, and passed over.
    lag.fetched(topic, partition, batchSize === 0 ? after(lastOffset) : firstOffset, highWatermark);
  });
  const onAbort = (): void => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...channels.keys()], fromBeginning: true });
    await consumer.run({
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 4,
      eachBatch: (payload) => takeBatch(payload, channels, options, pauses, signal),
    });
    if (signal.aborted) resolve();
    await ended;
  } finally {
    signal.removeEventListener("abort", onAbort);
    pauses.clear();
    lag.assigned({});
    await consumer.disconnect().catch(() => undefined);
  }
}

const after = (offset: string): string => String(BigInt(offset) + 1n);

const heartbeatMs = ({ sessionTimeoutMs }: KafkaSettings): number => Math.floor(sessionTimeoutMs / 6);

/** Takes what is fetched, in order, some at once; offsets are committed after each lot, never before all of it is durable. */
async function takeBatch(
  payload: EachBatchPayload,
  channels: ReadonlyMap<string, Inbound>,
  options: ConsumeOptions,
  pauses: PartitionPauses,
  signal: AbortSignal,
): Promise<void> {
  const { batch } = payload;
  const channel = channels.get(batch.topic);
  if (channel === undefined) return;
  for (let at = 0; at < batch.messages.length && !signal.aborted && payload.isRunning() && !payload.isStale(); ) {
    const lot = batch.messages.slice(at, at + atOnce);
    const deliveries = lot.map((message) => asDelivery(channel, batch.topic, batch.partition, message));
    const taken = await takeLot(deliveries, payload, options, signal);
    const last = lot[taken.count - 1];
    if (last !== undefined) {
      payload.resolveOffset(last.offset);
      await payload.commitOffsetsIfNecessary(payload.uncommittedOffsets());
      // A mark of a transaction may end the batch, and is acknowledged with what it ends.
      const isWhole = at + taken.count === batch.messages.length;
      options.lag.acknowledged(batch.topic, batch.partition, after(isWhole ? batch.lastOffset() : last.offset));
    }
    if (taken.count < lot.length) {
      // We are to end, and what was not taken is the next member's.
      if (signal.aborted) return;
      const held = deliveries[taken.count];
      if (held) options.onEvent({ kind: "held", source: held.source, why: whyOf(taken.error) });
      pauses.pause(payload);
      return;
    }
    pauses.passed(payload);
    at += atOnce;
  }
}

/** How many from the first on were taken. The group hears from us meanwhile, however long it takes. */
async function takeLot(
  deliveries: readonly Delivery[],
  payload: EachBatchPayload,
  { take, settings }: ConsumeOptions,
  signal: AbortSignal,
): Promise<{ readonly count: number; readonly error: unknown }> {
  const lost = new AbortController();
  const onAbort = (): void => lost.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const work = Promise.allSettled(deliveries.map((delivery) => take(delivery, lost.signal)));
  try {
    for (;;) {
      const settled = await Promise.race([work, sleep(heartbeatMs(settings), null, { ref: false })]);
      if (settled !== null) {
        const failed = settled.findIndex(({ status }) => status === "rejected");
        const failure = settled[failed];
        const error = failure?.status === "rejected" ? failure.reason : null;
        return { count: failed === -1 ? settled.length : failed, error };
      }
      await payload.heartbeat();
    }
  } catch (error) {
    // The partition is, or will be, another member's.
    lost.abort(error);
    await work;
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

interface PartitionPauses {
  pause(payload: EachBatchPayload): void;
  passed(payload: EachBatchPayload): void;
  /** From here on nothing is held any more: a consumer that ends cannot be told to go on. */
  clear(): void;
}

/** Holds a partition, longer each time in a row. */
function partitionPauses(consumer: Consumer): PartitionPauses {
  const lastMs = new Map<string, number>();
  const timers = new Set<NodeJS.Timeout>();
  let isOver = false;
  const nameOf = ({ batch }: EachBatchPayload): string => `${batch.topic}/${batch.partition}`;
  return {
    pause(payload) {
      // A batch may be under way when the consumer ends.
      if (isOver) return;
      const { topic, partition } = payload.batch;
      const pauseMs = Math.min((lastMs.get(nameOf(payload)) ?? firstPauseMs / 2) * 2, longestPauseMs);
      lastMs.set(nameOf(payload), pauseMs);
      payload.pause();
      const timer = setTimeout(() => {
        timers.delete(timer);
        consumer.resume([{ topic, partitions: [partition] }]);
      }, pauseMs);
      timers.add(timer);
    },
    passed: (payload) => void lastMs.delete(nameOf(payload)),
    clear() {
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

function asDelivery(channel: Inbound, topic: string, partition: number, message: KafkaMessage): Delivery {
  // Made by our own reader of batches.
  const record = message as unknown as BatchRecord;
  const { offset, unreadable } = record;
  const source = { topic, partition, firstOffset: unreadable?.firstOffset ?? offset, lastOffset: offset };
  if (unreadable !== undefined) return { kind: "unreadable", channel, source, why: unreadable.why };
  return {
    ...{ kind: "message", channel, source, key: record.key, value: record.value },
    headers: asHeaders(record.headers),
    droppedHeaders: record.droppedHeaders,
    sentAt: timeOf(record.timestamp),
  };
}

/** A sender may write any time, or none: what no calendar has is now. */
function timeOf(timestamp: string): number {
  const time = Number(timestamp);
  return time > 0 && time < latestTime ? time : Date.now();
}

const latestTime = 8.64e15;

const asHeaders = (headers: BatchRecord["headers"]): Headers =>
  Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => [name, each] as const),
  );

export const whyOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);
