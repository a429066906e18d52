import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { openTransport } from "../../src/app/transport-service.ts";
import type { TransportEvent } from "../../src/ports/transport.ts";
import { selfSigned } from "../support/certificate.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { never } from "../support/samples.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

const password = "a secret of the tests";

const certificate = forThisFile(selfSigned);

/** As a line of Java properties. */
const inOneLine = (path: string): string => readFileSync(path, "utf8").trim().replaceAll("\n", "\\n");

/** Speaks TLS and asks for a password. */
const broker = forThisFile(() => {
  const { keyPath, certPath } = certificate();
  const listener = "listener.name.outside";
  const login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
  return startKafka(
    "kafka",
    [
      "listener.security.protocol.map=OUTSIDE:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
      `${listener}.ssl.keystore.type=PEM`,
      `${listener}.ssl.keystore.certificate.chain=${inOneLine(certPath)}`,
      `${listener}.ssl.keystore.key=${inOneLine(keyPath)}`,
      `${listener}.sasl.enabled.mechanisms=PLAIN`,
      `${listener}.plain.sasl.jaas.config=${login} user_executor="${password}";`,
    ].join("\n"),
  );
});

/** A broker that has only just started puts groups off for a moment. */
const isAnswer = (event: TransportEvent): boolean =>
  event.kind !== "trouble" || !/coordinator is (loading|not available)/.test(event.why);

/** As an operator configures it; answers what a first message comes to. */
async function firstMessage(env: Readonly<Record<string, string>>): Promise<string> {
  const events: TransportEvent[] = [];
  const config = loadConfig("/nowhere", {
    TOOL_EXECUTOR_DATA: certificate().folder,
    KAFKA_BROKERS: broker().broker,
    KAFKA_SECURITY_PROTOCOL: "SASL_SSL",
    KAFKA_SSL_CA: certificate().certPath,
    KAFKA_SASL_MECHANISM: "PLAIN",
    KAFKA_SASL_USERNAME: "executor",
    KAFKA_SASL_PASSWORD: password,
    ...env,
  });
  await using transport = openTransport(config, (event) => events.push(event));
  if (transport === null) throw new Error("no transport is configured");
  const stop = new AbortController();
  const consuming = transport.consume(async () => undefined, stop.signal);
  try {
    const message = { channel: "results", key: "t-1", value: Buffer.from("{}"), headers: [] } as const;
    const sent = await transport.publish([message], never()).then(
      () => "sent",
      (error: Error) => error.message,
    );
    const first = await until("a member, or why not", () => events.find(isAnswer), 60_000);
    return `${sent}; ${first.kind === "trouble" ? first.why : first.kind}`;
  } finally {
    stop.abort(new Error("the test is over"));
    await consuming;
  }
}

test("with TLS and a password, messages go and come", async () => {
  expect(await firstMessage({})).toBe("sent; joined");
});

test("a wrong password is refused, and not shown", async () => {
  const said = await firstMessage({ KAFKA_SASL_PASSWORD: "another secret" });
  expect(said).toMatch(/KafkaJSSASLAuthenticationError: .*; KafkaJS.*SASLAuthenticationError/);
  expect(said).not.toContain("another secret");
});

test("a broker whose certificate nobody vouches for is not spoken to", async () => {
  expect(await firstMessage({ KAFKA_SSL_CA: "" })).toMatch(/self-signed certificate.*; .*self-signed certificate/);
});

test("a certificate that cannot be read stops the start, by the name of its setting", async () => {
  await expect(firstMessage({ KAFKA_SSL_CA: "/nowhere/ca.pem" })).rejects.toMatchObject({
    code: "validation",
    message: "KAFKA_SSL_CA: /nowhere/ca.pem cannot be read",
  });
});
