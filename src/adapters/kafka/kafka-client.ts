import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import type { Kafka, SASLOptions } from "kafkajs";
import { ExecutorError } from "../../model/failure.ts";
import type { KafkaSasl, KafkaSettings, KafkaTls } from "./kafka-settings.ts";
import { loadKafkajs } from "./kafkajs.ts";

/** Nothing is connected yet. @throws ExecutorError validation, for a certificate or key that cannot be read, naming its file. */
export function kafkaClient({ brokers, tls, sasl }: KafkaSettings): Kafka {
  const kafkajs = loadKafkajs();
  return new kafkajs.Kafka({
    clientId: "tool-executor",
    brokers: [...brokers],
    // What it would print is told in events; its own lines may hold anything.
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: 3000,
    authenticationTimeout: 5000,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 4 },
    ...(tls === null ? {} : { ssl: tlsOptions(tls) }),
    ...(sasl === null ? {} : { sasl: saslOptions(sasl) }),
  });
}

function tlsOptions({ caPath, certPath, keyPath }: KafkaTls): ConnectionOptions {
  return {
    ...(caPath === null ? {} : { ca: readPem("KAFKA_SSL_CA", caPath) }),
    ...(certPath === null ? {} : { cert: readPem("KAFKA_SSL_CERT", certPath) }),
    ...(keyPath === null ? {} : { key: readPem("KAFKA_SSL_KEY", keyPath) }),
  };
}

function readPem(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ExecutorError("validation", `${setting}: ${path} cannot be read`, { cause });
  }
}

function saslOptions({ mechanism, username, password }: KafkaSasl): SASLOptions {
  switch (mechanism) {
    case "PLAIN":
      return { mechanism: "plain", username, password };
    case "SCRAM-SHA-256":
      return { mechanism: "scram-sha-256", username, password };
    case "SCRAM-SHA-512":
      return { mechanism: "scram-sha-512", username, password };
  }
}
