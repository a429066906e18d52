import { text } from "node:stream/consumers";
import { Redis } from "ioredis";
import { Kafka, logLevel } from "kafkajs";
import { Client as S3 } from "minio";
import pg from "pg";
import { expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { startKafka, startLoki, startMinio, startPostgres, startRedis, startVersitygw } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

test("PostgreSQL 15 takes its password only, and offers TLS", async () => {
  await using postgres = await startPostgres();
  const client = new pg.Client({ connectionString: postgres.url(), ssl: { ca: await postgres.certificate() } });
  await client.connect();
  const { rows } = await client.query("select version(), ssl from pg_stat_ssl where pid = pg_backend_pid()");
  await client.end();
  expect(rows).toEqual([{ version: expect.stringMatching(/^PostgreSQL 15\./), ssl: true }]);
  const stranger = new pg.Client({ connectionString: postgres.url().replace(/:[^:@]+@/, ":wrong@") });
  await expect(stranger.connect()).rejects.toMatchObject({ code: "28P01" });
});

test("Redis 7 evicts nothing and writes each command to disk", async () => {
  await using server = await startRedis();
  const redis = new Redis(server.url, { maxRetriesPerRequest: 0 });
  expect(await redis.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "noeviction"]);
  expect(await redis.config("GET", "append*")).toEqual(expect.arrayContaining(["appendfsync", "always"]));
  await redis.set("key", "value");
  expect(await redis.get("key")).toBe("value");
  redis.disconnect();
});

test.each(["kafka", "kafka-3.9"] as const)("%s takes a message and gives it back", async (version) => {
  await using server = await startKafka(version);
  const kafka = new Kafka({ brokers: [server.broker], logLevel: logLevel.NOTHING, retry: { retries: 20 } });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: "one", numPartitions: 1 }], waitForLeaders: true });
  await admin.disconnect();
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: "one", messages: [{ key: "k", value: "v" }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: "smoke" });
  await consumer.connect();
  await consumer.subscribe({ topic: "one", fromBeginning: true });
  const received: (string | undefined)[] = [];
  await consumer.run({ eachMessage: async ({ message }) => void received.push(message.value?.toString()) });
  await until("the message", () => received.length > 0, 30_000);
  await consumer.disconnect();
  expect(received).toEqual(["v"]);
});

test.each([
  ["MinIO", startMinio],
  ["versitygw", startVersitygw],
] as const)("%s keeps an object and gives back part of it", async (_name, start) => {
  await using server = await start();
  const { hostname, port } = new URL(server.url);
  const { accessKey, secretKey } = server;
  const s3 = new S3({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await s3.makeBucket("bucket");
  await s3.putObject("bucket", "a/key", "0123456789");
  expect(await text(await s3.getPartialObject("bucket", "a/key", 3, 4))).toBe("3456");
  const stranger = new S3({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey,
    secretKey: "wrong-wrong",
  });
  await expect(stranger.statObject("bucket", "a/key")).rejects.toThrow();
});

test("Loki takes lines and finds them by their label", async () => {
  await using loki = await startLoki();
  const at = `${Date.now()}000000`;
  const streams = [{ stream: { tool: "shell" }, values: [[at, "a line", { task_id: "t-1" }]] }];
  const pushed = await fetch(`${loki.url}/loki/api/v1/push`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ streams }),
  });
  expect(pushed.status).toBe(204);
  const query = new URLSearchParams({ query: '{tool="shell"} | task_id="t-1"' });
  const answer = await fetch(`${loki.url}/loki/api/v1/query_range?${query}`);
  const found = (await answer.json()) as { data: { result: { values: string[][] }[] } };
  expect(found.data.result[0]?.values).toEqual([[at, "a line"]]);
});

test("toxiproxy makes a service slow, silent, gone, and well again", async () => {
  await using server = await startRedis();
  await using proxy = await startToxiproxy(server, 6379);
  const ping = async (boundMs: number): Promise<string> => {
    const redis = new Redis(proxy.port, "localhost", { retryStrategy: () => null, commandTimeout: boundMs });
    redis.on("error", () => undefined);
    try {
      return await redis.ping();
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      redis.disconnect();
    }
  };
  expect(await ping(5000)).toBe("PONG");
  await proxy.slow(300);
  const startedAt = performance.now();
  expect(await ping(5000)).toBe("PONG");
  expect(performance.now() - startedAt).toBeGreaterThan(300);
  await proxy.mend();
  await proxy.blackHole();
  expect(await ping(500)).toContain("timed out");
  await proxy.mend();
  await proxy.cut();
  expect(await ping(5000)).toMatch(/closed|ECONNREFUSED|ECONNRESET/);
  await proxy.mend();
  expect(await ping(5000)).toBe("PONG");
});

test("a service's ports are on the loopback alone", async () => {
  await using redis = await startRedis();
  const { NetworkSettings } = await testDocker().getContainer(redis.container.getId()).inspect();
  const bound = Object.values(NetworkSettings.Ports).flatMap((each) => each.map(({ HostIp }) => HostIp));
  expect(bound).toEqual(["127.0.0.1"]);
});
