import type { IHeaders, Kafka, Producer, ProducerConfig, TopicMessages } from "kafkajs";
import { ExecutorError } from "../../model/failure.ts";
import type { Headers, OutgoingMessage } from "../../ports/transport.ts";

/** Sends in order, one call after the other. */
export interface KafkaSender extends AsyncDisposable {
  /** @throws the failure as kafkajs gives it; {@link isTooLarge} tells one of them. */
  send(topic: string, messages: readonly OutgoingMessage[], signal: AbortSignal): Promise<void>;
}

/**
 * A producer that is made anew after each failure: kafkajs' idempotent one never gets over sequence numbers that the broker no longer
 * expects, and every later send of it fails.
 */
export function kafkaSender(kafka: Kafka, config: ProducerConfig, acks: -1 | 1): KafkaSender {
  let current: Promise<Producer> | null = null;
  let isClosed = false;

  const opened = async (): Promise<Producer> => {
    const producer = kafka.producer({ ...config, allowAutoTopicCreation: false });
    await producer.connect();
    return producer;
  };
  const dropped = (failed: Promise<Producer>): void => {
    if (current === failed) current = null;
    // Whatever is wrong with it, it is no longer used.
    failed.then((producer) => producer.disconnect()).catch(() => undefined);
  };

  return {
    async send(topic, messages, signal) {
      signal.throwIfAborted();
      if (isClosed)
        throw new ExecutorError("internal", `nothing is sent to ${topic} any more: the transport is closed`);
      current ??= opened();
      const using = current;
      try {
        const producer = await unlessAborted(using, signal);
        const topicMessages: TopicMessages[] = [{ topic, messages: messages.map(asKafka) }];
        await unlessAborted(producer.sendBatch({ acks, topicMessages }), signal);
      } catch (error) {
        dropped(using);
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      isClosed = true;
      const last = current;
      current = null;
      await last?.then((producer) => producer.disconnect()).catch(() => undefined);
    },
  };
}

export const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && (typeOf(error) === "MESSAGE_TOO_LARGE" || isTooLarge(error.cause));

const typeOf = (error: Error): unknown => ("type" in error ? error.type : undefined);

const asKafka = ({ key, value, headers }: OutgoingMessage) => ({ key, value, headers: asKafkaHeaders(headers) });

function asKafkaHeaders(headers: Headers): IHeaders {
  const byName = new Map<string, Buffer | Buffer[]>();
  for (const [name, value] of headers) {
    const known = byName.get(name);
    byName.set(name, known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value]);
  }
  return Object.fromEntries(byName);
}

/** kafkajs takes no signal: what it is at goes on by itself, and nobody waits for it. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
