import { randomBytes } from "node:crypto";
import { type IHeaders, Kafka, logLevel } from "kafkajs";
import type { KafkaSettings } from "../../src/adapters/kafka/kafka-settings.ts";
import { kafkaTransport } from "../../src/adapters/kafka/kafka-transport.ts";
import type { Headers, Inbound, Outbound, OutgoingMessage, TransportEvent } from "../../src/ports/transport.ts";
import type { Ends } from "../conformance/transport.ts";
import { until } from "./until.ts";

/** Topics and a group of a test's own on a broker that other tests use, too. */
export function kafkaSettings(broker: string, differences: Partial<KafkaSettings> = {}): KafkaSettings {
  const own = randomBytes(4).toString("hex");
  return {
    brokers: [broker],
    groupId: `executors-${own}`,
    topics: {
      tools: `tools-${own}`,
      control: `control-${own}`,
      results: `results-${own}`,
      dead_letters: `dead-${own}`,
      progress: `progress-${own}`,
    },
    createTopics: true,
    partitions: 3,
    replicationFactor: null,
    sessionTimeoutMs: 6000,
    maxMessageBytes: 900 * 1024,
    tls: null,
    sasl: null,
    ...differences,
  };
}

/** The same for a `toolx` process. */
export const kafkaEnvironment = (
  broker: string,
  { groupId, topics }: Pick<KafkaSettings, "groupId" | "topics">,
): Readonly<Record<string, string>> => ({
  KAFKA_BROKERS: broker,
  KAFKA_GROUP: groupId,
  KAFKA_TOPIC_TOOLS: topics.tools,
  KAFKA_TOPIC_CONTROL: topics.control,
  KAFKA_TOPIC_RESULTS: topics.results,
  KAFKA_TOPIC_DEAD_LETTERS: topics.dead_letters,
  KAFKA_TOPIC_PROGRESS: topics.progress,
});

/** A plain client, as a gateway would have one. */
export const plainClient = (broker: string): Kafka =>
  new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, retries: 20 } });

export interface Offered {
  readonly key?: string | null;
  readonly value: string | Buffer | null;
  readonly headers?: Headers;
  /** Unix milliseconds, or whatever a sender may write there. */
  readonly timestamp?: string;
}

/** Where it was put. */
export interface Offset {
  readonly partition: number;
  readonly offset: string;
}

/** Both ends of one set of topics: ours, and a gateway made of nothing but a client. */
export interface KafkaEnds extends Ends {
  offer(channel: Inbound, message: Offered): Promise<Offset>;
  readonly settings: KafkaSettings;
  readonly kafka: Kafka;
  readonly events: readonly TransportEvent[];
  /** Hears, from the beginning on, what is sent. */
  listen(...channels: readonly Outbound[]): Promise<Listening>;
}

export interface Listening extends AsyncDisposable {
  readonly heard: readonly Heard[];
}

export interface Heard {
  readonly channel: Outbound;
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

export async function kafkaEnds(broker: string, differences: Partial<KafkaSettings> = {}): Promise<KafkaEnds> {
  const settings = kafkaSettings(broker, differences);
  const kafka = plainClient(broker);
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const events: TransportEvent[] = [];
  const known = new Set<string>();
  const topicThere = async (topic: string): Promise<boolean> => {
    const admin = kafka.admin();
    await admin.connect();
    const topics = await admin.listTopics();
    await admin.disconnect();
    return topics.includes(topic);
  };
  return {
    settings,
    kafka,
    events,
    open: () => kafkaTransport(settings, (event) => events.push(event)),
    async offer(channel, { key = null, value, headers = [], timestamp }) {
      const topic = settings.topics[channel];
      if (!known.has(topic)) await until("the topic", () => topicThere(topic), 30_000);
      known.add(topic);
      const time = timestamp === undefined ? {} : { timestamp };
      const message = { key, value, headers: kafkaHeaders(headers), ...time };
      const [put] = await producer.send({ topic, messages: [message] });
      return { partition: put?.partition ?? -1, offset: put?.baseOffset ?? "" };
    },
    async listen(...channels) {
      const consumer = kafka.consumer({ groupId: `gateway-${randomBytes(4).toString("hex")}`, maxWaitTimeInMs: 100 });
      const heard: Heard[] = [];
      const channelOf = new Map(channels.map((channel) => [settings.topics[channel], channel]));
      for (const topic of channelOf.keys()) await until("the topic", () => topicThere(topic), 30_000);
      await consumer.connect();
      await consumer.subscribe({ topics: [...channelOf.keys()], fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ topic, message: { key, value, headers = {} } }) => {
          const named = Object.fromEntries(listedHeaders(headers).map(([name, each]) => [name, each.toString()]));
          heard.push({
            channel: channelOf.get(topic) ?? "results",
            key: key?.toString() ?? null,
            value,
            headers: named,
          });
        },
      });
      return { heard, [Symbol.asyncDispose]: () => consumer.disconnect() };
    },
    sent: (channel) => everything(kafka, settings, channel),
    async [Symbol.asyncDispose]() {
      await producer.disconnect();
    },
  };
}

type Sent = Pick<OutgoingMessage, "key" | "value" | "headers">;

/** All that a topic holds now, partition by partition; waits for nothing. */
export async function everything(
  kafka: Kafka,
  { topics }: KafkaSettings,
  channel: Outbound | Inbound,
): Promise<readonly Sent[]> {
  const topic = topics[channel];
  const total = await held(kafka, topic);
  if (total === 0) return [];
  const consumer = kafka.consumer({ groupId: `reader-${randomBytes(4).toString("hex")}`, maxWaitTimeInMs: 100 });
  const read: { readonly partition: number; readonly message: Sent }[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message: { key, value, headers = {} } }) => {
      read.push({ partition, message: { key, value, headers: listedHeaders(headers) } });
    },
  });
  await until(`${total} messages of ${topic}`, () => read.length >= total, 30_000);
  await consumer.disconnect();
  return [...read].sort((a, b) => a.partition - b.partition).map(({ message }) => message);
}

/** How many messages a topic holds; one that is not there holds none. kafkajs gives up at a first lost connection: asked again. */
async function held(kafka: Kafka, topic: string): Promise<number> {
  let total = 0;
  let failure: unknown;
  const isTold = async (): Promise<boolean> => {
    const admin = kafka.admin();
    try {
      await admin.connect();
      if (!(await admin.listTopics()).includes(topic)) return true;
      const offsets = await admin.fetchTopicOffsets(topic);
      total = offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
      return true;
    } catch (error) {
      failure = error;
      return false;
    } finally {
      await admin.disconnect();
    }
  };
  await until(`the offsets of ${topic}`, isTold, 30_000).catch((error: unknown) => {
    throw failure ?? error;
  });
  return total;
}

function kafkaHeaders(headers: Headers): IHeaders {
  const named: Record<string, Buffer[]> = {};
  for (const [name, value] of headers) named[name] = [...(named[name] ?? []), value];
  return named;
}

const listedHeaders = (headers: IHeaders): Headers =>
  Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => [name, Buffer.from(each ?? "")] as const),
  );
