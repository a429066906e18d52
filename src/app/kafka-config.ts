import type { KafkaSasl, KafkaSettings, KafkaTls } from "../adapters/kafka/kafka-settings.ts";
import { ExecutorError } from "../model/failure.ts";
import { type Setting, settings } from "./config-schema.ts";

/** The value of a setting, wherever it comes from. */
type ValueOf = <Value extends string | number>(setting: Setting<Value>) => Value;

/**
 * Null without brokers.
 * @throws ExecutorError validation, for settings that do not go together: one that has no effect is a slip, and here a dangerous one.
 */
export function kafkaSettings(value: ValueOf): KafkaSettings | null {
  const brokers = value(settings.kafkaBrokers);
  const replicationFactor = value(settings.kafkaReplication);
  const security = value(settings.kafkaSecurity);
  const tls = { ca: value(settings.kafkaSslCa), cert: value(settings.kafkaSslCert), key: value(settings.kafkaSslKey) };
  const sasl = {
    mechanism: value(settings.kafkaSaslMechanism),
    username: value(settings.kafkaSaslUsername),
    password: value(settings.kafkaSaslPassword),
  };
  const found: KafkaSettings = {
    brokers: brokers.split(","),
    groupId: value(settings.kafkaGroup),
    topics: {
      tools: value(settings.kafkaTools),
      control: value(settings.kafkaControl),
      results: value(settings.kafkaResults),
      dead_letters: value(settings.kafkaDeadLetters),
      progress: value(settings.kafkaProgress),
    },
    createTopics: value(settings.kafkaCreateTopics) === "yes",
    partitions: value(settings.kafkaPartitions),
    replicationFactor: replicationFactor === 0 ? null : replicationFactor,
    sessionTimeoutMs: value(settings.kafkaSessionMs),
    maxMessageBytes: value(settings.kafkaMaxMessageBytes),
    tls: tlsOf(security.endsWith("SSL"), security, tls),
    sasl: saslOf(security.startsWith("SASL"), security, sasl),
  };
  refuseSameTopic(found.topics);
  return brokers === "" ? null : found;
}

function tlsOf(
  isUsed: boolean,
  security: string,
  { ca, cert, key }: Readonly<Record<"ca" | "cert" | "key", string>>,
): KafkaTls | null {
  if (!isUsed) {
    refuseUnused(settings.kafkaSslCa, ca, security);
    refuseUnused(settings.kafkaSslCert, cert, security);
    refuseUnused(settings.kafkaSslKey, key, security);
    return null;
  }
  if ((cert === "") !== (key === ""))
    throw new ExecutorError("validation", "of KAFKA_SSL_CERT and KAFKA_SSL_KEY only one is set, must be both or none");
  return { caPath: ca || null, certPath: cert || null, keyPath: key || null };
}

function saslOf(isUsed: boolean, security: string, sasl: KafkaSasl): KafkaSasl | null {
  if (!isUsed) {
    refuseUnused(settings.kafkaSaslUsername, sasl.username, security);
    refuseUnused(settings.kafkaSaslPassword, sasl.password, security);
    return null;
  }
  if (sasl.username === "" || sasl.password === "")
    throw new ExecutorError("validation", `${security} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD`);
  return sasl;
}

function refuseUnused({ name }: Setting<string>, value: string, security: string): void {
  if (value === "") return;
  throw new ExecutorError("validation", `${name} is set, and KAFKA_SECURITY_PROTOCOL ${security} has no use for it`);
}

/** A topic that is read and written, or has two kinds of message, is a loop or a muddle. */
function refuseSameTopic(topics: KafkaSettings["topics"]): void {
  const names = Object.values(topics);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  throw new ExecutorError("validation", `two of KAFKA_TOPIC_… are ${twice}, each must have a topic of its own`);
}
