import { join } from "node:path";
import { expect, test } from "vitest";
import { type Config, loadConfig } from "../../../src/app/config.ts";
import { configTable } from "../../../src/cli/config.ts";

const load = (env: Readonly<Record<string, string>> = {}): Config =>
  loadConfig("/nowhere", { TOOL_EXECUTOR_DATA: join("/nowhere", "data"), ...env });

test("without brokers there is no Kafka", () => {
  expect(load().kafka).toBeNull();
});

test("with brokers alone, everything else is as the gateway expects it", () => {
  expect(load({ KAFKA_BROKERS: "kafka-1:9092, kafka-2:9092" }).kafka).toEqual({
    brokers: ["kafka-1:9092", "kafka-2:9092"],
    groupId: "tool-executor",
    topics: {
      tools: "somastack.tools",
      control: "somastack.tool_control",
      results: "somastack.tool_results",
      dead_letters: "somastack.tool_results.dlq",
      progress: "somastack.tool_progress",
    },
    createTopics: true,
    partitions: 6,
    replicationFactor: null,
    sessionTimeoutMs: 30_000,
    maxMessageBytes: 921_600,
    tls: null,
    sasl: null,
  });
});

const password = "hunter2 and more";
const sasl = { KAFKA_SASL_USERNAME: "executor", KAFKA_SASL_PASSWORD: password };

test("TLS and a password go together or alone", () => {
  const kafka = (env: Readonly<Record<string, string>>) => load({ KAFKA_BROKERS: "k:9092", ...env }).kafka;
  expect(kafka({ KAFKA_SECURITY_PROTOCOL: "SSL", KAFKA_SSL_CA: "/etc/ca.pem" })).toMatchObject({
    tls: { caPath: "/etc/ca.pem", certPath: null, keyPath: null },
    sasl: null,
  });
  expect(kafka({ KAFKA_SECURITY_PROTOCOL: "SASL_SSL", KAFKA_SASL_MECHANISM: "PLAIN", ...sasl })).toMatchObject({
    tls: { caPath: null },
    sasl: { mechanism: "PLAIN", username: "executor", password },
  });
  expect(kafka({ KAFKA_SECURITY_PROTOCOL: "SASL_PLAINTEXT", ...sasl })).toMatchObject({ tls: null });
});

test.each<[Readonly<Record<string, string>>, RegExp]>([
  [{ KAFKA_BROKERS: "kafka" }, /KAFKA_BROKERS in the environment is "kafka", must be host:port/],
  [{ KAFKA_TOPIC_TOOLS: ".." }, /KAFKA_TOPIC_TOOLS in the environment is "..", must be 1 to 249 letters/],
  [{ KAFKA_TOPIC_TOOLS: "a b" }, /KAFKA_TOPIC_TOOLS/],
  [{ KAFKA_TOPIC_RESULTS: "somastack.tools" }, /two of KAFKA_TOPIC_… are somastack.tools/],
  [{ KAFKA_SECURITY_PROTOCOL: "ssl" }, /must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL/],
  [{ KAFKA_SSL_CA: "/etc/ca.pem" }, /KAFKA_SSL_CA is set, and KAFKA_SECURITY_PROTOCOL PLAINTEXT has no use for it/],
  [
    { KAFKA_SECURITY_PROTOCOL: "SSL", ...sasl },
    /KAFKA_SASL_USERNAME is set, and KAFKA_SECURITY_PROTOCOL SSL has no use/,
  ],
  [{ KAFKA_SECURITY_PROTOCOL: "SSL", KAFKA_SSL_CERT: "/c.pem" }, /of KAFKA_SSL_CERT and KAFKA_SSL_KEY only one is set/],
  [{ KAFKA_SECURITY_PROTOCOL: "SASL_SSL" }, /SASL_SSL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD/],
])("%j is refused", (env, message) => {
  expect(() => load(env)).toThrow(message);
});

test("the password is shown nowhere", () => {
  const config = load({ KAFKA_BROKERS: "k:9092", KAFKA_SECURITY_PROTOCOL: "SASL_SSL", ...sasl });
  expect(configTable(config.settings)).toMatch(/KAFKA_SASL_PASSWORD +\(set\)/);
  expect(configTable(config.settings)).not.toContain(password);
  expect(() => load({ KAFKA_SASL_PASSWORD: `${password}\n` })).toThrow(
    /^KAFKA_SASL_PASSWORD in the environment must be up to 1024 characters/,
  );
  expect(() => load({ KAFKA_SASL_PASSWORD: password })).toThrow(/^KAFKA_SASL_PASSWORD is set, and/);
});
