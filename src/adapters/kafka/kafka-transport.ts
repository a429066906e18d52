import { ExecutorError } from "../../model/failure.ts";
import {
  type Inbound,
  type Outbound,
  type OutgoingMessage,
  sizeOf,
  type Transport,
  type TransportEvent,
} from "../../ports/transport.ts";
import { consumeKafka, whyOf } from "./consumer.ts";
import { kafkaClient } from "./kafka-client.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import { groupLag } from "./lag.ts";
import { isTooLarge, kafkaSender } from "./producer.ts";
import { ensureTopics } from "./topics.ts";

/**
 * Kafka as the transport: the group's member on the way in, an idempotent producer that waits for all replicas on the way out. Nothing
 * is connected before it is used.
 * @throws ExecutorError validation, for a certificate or key that cannot be read.
 */
export function kafkaTransport(settings: KafkaSettings, onEvent: (event: TransportEvent) => void): Transport {
  const kafka = kafkaClient(settings);
  const durable = kafkaSender(kafka, { idempotent: true, maxInFlightRequests: 1, retry: retries(3) }, -1);
  // Of progress only the latest counts: it waits for one broker, and for no second try.
  const fleeting = kafkaSender(kafka, { retry: retries(1) }, 1);
  const largest = new Map<Outbound, number>();
  const topicsThere = rememberedSuccess(() => ensureTopics(kafka, settings));
  const lag = groupLag();
  let problem: string | null = "not a member of its group yet";
  const maxBytes = (channel: Outbound): number => largest.get(channel) ?? settings.maxMessageBytes;

  const send = async (channel: Outbound, messages: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> => {
    const topic = settings.topics[channel];
    try {
      await topicsThere();
      await (channel === "progress" ? fleeting : durable).send(topic, messages, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof ExecutorError) throw cause;
      const [first] = messages;
      if (isTooLarge(cause) && first !== undefined) {
        // The broker takes less than we are told: one by one they may fit.
        if (messages.length > 1) {
          for (const each of messages) await send(channel, [each], signal);
          return;
        }
        largest.set(channel, Math.min(maxBytes(channel), sizeOf(first) - 1));
        throw tooLarge(topic, sizeOf(first), maxBytes(channel), cause);
      }
      throw new ExecutorError("internal", `${messages.length} messages to ${topic}: ${whyOf(cause)}`, { cause });
    }
  };

  return {
    async consume(take, signal) {
      const onAnswered = (): void => {
        problem = null;
      };
      const followed = (event: TransportEvent): void => {
        if (event.kind === "joined") problem = null;
        if (event.kind === "trouble") problem = event.why;
        onEvent(event);
      };
      try {
        await consumeKafka(kafka, { settings, take, onEvent: followed, onAnswered, lag }, signal);
      } catch (error) {
        problem = whyOf(error);
        throw error;
      }
      problem = "has left its group";
    },
    async publish(messages, signal) {
      for (const message of messages) {
        const bytes = sizeOf(message);
        const most = maxBytes(message.channel);
        if (bytes > most) throw tooLarge(settings.topics[message.channel], bytes, most);
      }
      for (const [channel, lot] of lots(messages, maxBytes)) await send(channel, lot, signal);
    },
    maxBytes,
    problem: () => problem,
    lag() {
      const behind: Partial<Record<Inbound, number>> = {};
      const byTopic = lag.byTopic();
      for (const channel of ["tools", "control"] as const) {
        const count = byTopic.get(settings.topics[channel]);
        if (count !== undefined) behind[channel] = count;
      }
      return behind;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([durable[Symbol.asyncDispose](), fleeting[Symbol.asyncDispose]()]);
    },
  };
}

/** Asked until it was so once: later only what uses a topic finds out that it is gone. */
function rememberedSuccess(ask: () => Promise<void>): () => Promise<void> {
  let asked: Promise<void> | null = null;
  return () => {
    asked ??= ask().catch((error: unknown) => {
      asked = null;
      throw error;
    });
    return asked;
  };
}

const retries = (count: number) => ({ initialRetryTime: 100, maxRetryTime: 2000, retries: count });

const tooLarge = (topic: string, bytes: number, most: number, cause?: unknown): ExecutorError =>
  new ExecutorError("quota", `a message of ${bytes} bytes to ${topic}, at most ${most}`, { cause });

/** In order, each for one channel and, all partitions taken as one, no larger than what a broker takes as one batch. */
function* lots(
  messages: readonly OutgoingMessage[],
  maxBytes: (channel: Outbound) => number,
): Generator<readonly [Outbound, readonly OutgoingMessage[]]> {
  let lot: OutgoingMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const channel = lot[0]?.channel ?? message.channel;
    const size = sizeOf(message);
    if (channel !== message.channel || bytes + size > maxBytes(channel)) {
      if (lot.length > 0) yield [channel, lot];
      [lot, bytes] = [[], 0];
    }
    lot.push(message);
    bytes += size;
  }
  const [first] = lot;
  if (first !== undefined) yield [first.channel, lot];
}
