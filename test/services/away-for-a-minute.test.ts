import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "minio";
import { expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { type FreshDatabase, freshDatabase } from "../support/fresh-database.ts";
import { type KafkaEnds, kafkaEnds, kafkaEnvironment, type Listening } from "../support/kafka-ends.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { startForkedKafka, startMinio, startPostgres, startRedis } from "../support/services.ts";
import { startToxiproxy, type Toxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

let toKafka: Toxiproxy;
const broker = forThisFile(() =>
  startForkedKafka(async (service, inside) => {
    toKafka = await startToxiproxy(service, inside);
    return toKafka.port;
  }),
);
const kafkaProxy = forThisFile(async () => toKafka);
const postgres = forThisFile(startPostgres);
const redis = forThisFile(() => startRedis());
const minio = forThisFile(startMinio);

const awayMs = 60_000;
const boundMs = 120_000;
/** Between two calls through one door. */
const paceMs = 3000;

type Away = "kafka" | "redis" | "s3";
type Door = "kafka" | "http";

/** What an outage of one alone leaves as it was. */
const outages: readonly (readonly [Away, Outage])[] = [
  // Its own calls wait in the broker, which everybody else reaches.
  ["kafka", { missing: ["kafka"], answers: { kafka: false, http: true }, mayRepeat: true }],
  ["redis", { missing: [], answers: { kafka: true, http: true }, mayRepeat: false }],
  ["s3", { missing: ["objects"], answers: { kafka: false, http: false }, mayRepeat: false }],
];

interface Outage {
  /** What `/readyz` names. */
  readonly missing: readonly string[];
  /** Whether calls that come through a door meanwhile are answered meanwhile. */
  readonly answers: Readonly<Record<Door, boolean>>;
  /** A broker that goes in the middle of a send may have kept it: then the same bytes come again. */
  readonly mayRepeat: boolean;
}

/** A server with all it can have, one of which is reached through a proxy. */
interface Site extends AsyncDisposable {
  readonly toolx: Cli;
  readonly server: Server;
  readonly ends: KafkaEnds;
  /** A gateway, which reaches the broker whatever happens to the server. */
  readonly gateway: Listening;
  readonly database: FreshDatabase;
  readonly bucket: string;
  readonly proxy: Toxiproxy;
}

async function openSite(away: Away): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const ends = stack.use(await kafkaEnds(broker().broker));
  const proxy = await proxyOf(away, stack);
  const bucket = `away-${away}`;
  await store().makeBucket(bucket);
  const toolx = stack.use(await openCli());
  const { topics, groupId, sessionTimeoutMs } = ends.settings;
  const { accessKey, secretKey } = minio();
  const portOf = (service: Away, direct: string) => (service === away ? proxy.port : new URL(direct).port);
  const server = await startServer(toolx, {
    TOOL_EXECUTOR_MAX_WORKERS: "8",
    DATABASE_URL: database.url,
    REDIS_URL: `redis://localhost:${portOf("redis", redis().url)}/${outages.findIndex(([name]) => name === away)}`,
    S3_ENDPOINT: `http://localhost:${portOf("s3", minio().url)}`,
    ...{ S3_BUCKET: bucket, S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey },
    ...kafkaEnvironment(away === "kafka" ? broker().proxied : broker().broker, { groupId, topics }),
    KAFKA_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
  });
  await until("it is ready", async () => (await missingAt(server)).length === 0, boundMs);
  const gateway = stack.use(await ends.listen("results", "dead_letters"));
  const held = stack.move();
  return { toolx, server, ends, gateway, database, bucket, proxy, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function proxyOf(away: Away, stack: AsyncDisposableStack): Promise<Toxiproxy> {
  switch (away) {
    case "kafka":
      return kafkaProxy();
    case "redis":
      return stack.use(await startToxiproxy(redis(), 6379));
    case "s3":
      return stack.use(await startToxiproxy(minio(), 9000));
  }
}

/** The bucket's server, around the proxy. */
function store(): Client {
  const { url, accessKey, secretKey } = minio();
  const { hostname, port } = new URL(url);
  return new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
}

async function missingAt(server: Server): Promise<readonly string[]> {
  const { missing } = JSON.parse((await server.ask("/readyz")).body.toString());
  return missing.map(({ name }: { readonly name: string }) => name);
}

const expectMissing = (server: Server, names: readonly string[]) =>
  until(
    `/readyz names ${names.join() || "nothing"}`,
    async () => (await missingAt(server)).join() === names.join(),
    5000,
  );

interface Call {
  readonly id: string;
  readonly door: Door;
}

/** All that was asked, and what was answered so far. */
interface Load extends Disposable {
  readonly calls: readonly Call[];
  /** A task that takes so long and leaves so much, through each door. */
  offer(name: string, seconds: number, kibibytes?: number): Promise<readonly string[]>;
  /** On the connection it was asked on. */
  readonly overHttp: ReadonlyMap<string, { readonly status: number; readonly body: string }>;
  isAnswered(call: Call): boolean;
  /** No further call comes. Resolves when every call over HTTP has its answer. */
  finish(): Promise<void>;
}

const secondsOf = [0, 0.3, 1, 3, 6];

/** Calls that come through both doors, whatever happens, until {@link Load.finish}. */
function startLoad({ server, ends, gateway }: Site): Load {
  const calls: Call[] = [];
  const offered: Promise<unknown>[] = [];
  const overHttp = new Map<string, { status: number; body: string }>();
  const keep = (asked: Promise<unknown>): void => {
    // Told at the end.
    asked.catch(() => undefined);
    offered.push(asked);
  };
  const ask = (id: string, door: Door, seconds: number, kibibytes: number): Promise<unknown> => {
    calls.push({ id, door });
    const command = `echo ${id}; sleep ${seconds}; head -c ${kibibytes}K /dev/urandom >/output/noise; sha256sum </output/noise`;
    // A second attempt of every other one would end it, and be seen.
    const rest = { retry: calls.length % 2 ? "unsafe" : "safe", limits: { timeout_seconds: 150 } };
    const request = shellCall(id, command, rest);
    if (door === "kafka") return ends.offer("tools", { key: id, value: JSON.stringify(request) });
    const answered = server.submit(request, "290s").then(({ status, body }) => {
      overHttp.set(id, { status, body: body.toString() });
    });
    keep(answered);
    return Promise.resolve();
  };
  const offer: Load["offer"] = async (name, seconds, kibibytes = 64) => {
    const doors = ["kafka", "http"] as const;
    const ids = doors.map((door) => `${name}-${door}`);
    await Promise.all(doors.map((door) => ask(`${name}-${door}`, door, seconds, kibibytes)));
    return ids;
  };
  let count = 0;
  const timer = setInterval(() => {
    count += 1;
    keep(offer(`t-${count}`, secondsOf[count % secondsOf.length] ?? 0));
  }, paceMs);
  return {
    calls,
    offer,
    overHttp,
    isAnswered: ({ id, door }) => (door === "http" ? overHttp.has(id) : gateway.heard.some(({ key }) => key === id)),
    async finish() {
      clearInterval(timer);
      await Promise.all(offered);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

test.concurrent.each(outages)(
  "%s is away alone for a minute, silent and then cut off, under load: each call has one answer, at its first attempt",
  { timeout: 300_000 },
  async (away, { missing, answers, mayRepeat }) => {
    await using site = await openSite(away);
    const { server, proxy } = site;
    using load = startLoad(site);
    const answered = (from: number, door: Door) =>
      load.calls.slice(from).filter((call) => call.door === door && load.isAnswered(call)).length;
    await until("calls are answered", () => answered(0, "kafka") > 2 && answered(0, "http") > 2, boundMs);

    // Some go through all of it, some end in it, some are at the middle of their output, more than one part of an upload.
    const begun = [...(await load.offer("through", awayMs / 1000 + 15)), ...(await load.offer("into", 20))];
    for (const id of begun)
      await until(`${id} writes`, async () => (await server.ask(`/v1/tasks/${id}/logs`)).body.includes(id), boundMs);
    for (const name of ["big-1", "big-2"]) await load.offer(name, 0.5, 20 * 1024);
    const since = load.calls.length;
    const startedAt = performance.now();
    const awayFor = (ms: number) =>
      until(`it is away for ${ms} ms`, () => performance.now() > startedAt + ms, awayMs + 10_000);
    await proxy.blackHole();
    await awayFor(awayMs / 2);
    await expectMissing(server, missing);
    await proxy.cut();
    await awayFor(awayMs - 10_000);
    await load.offer("out-of", 20);
    await awayFor(awayMs);
    await expectMissing(server, missing);
    expect({ kafka: answered(since, "kafka") > 4, http: answered(since, "http") > 4 }).toEqual(answers);
    if (away === "s3") expect(new Set(await statesOf(site, begun.slice(2)))).toEqual(new Set(["COLLECTING"]));
    await proxy.mend();

    await until("it is ready again", async () => (await missingAt(server)).length === 0, boundMs);
    const mended = load.calls.length;
    await until("more has come", () => load.calls.length >= mended + 6, boundMs);
    await load.finish();
    await expectOneAnswerEach(site, load, mayRepeat);
    await expectNothingLeft(site, load);
  },
);

async function statesOf({ database }: Site, ids: readonly string[]): Promise<readonly string[]> {
  const { rows } = await database.client.query("select state from tasks where task_id = any($1)", [ids]);
  return rows.map(({ state }) => state);
}

/** The stored bytes are the answer, over Kafka and to whoever waited over HTTP; and they are of what was asked. */
async function expectOneAnswerEach({ server, gateway }: Site, load: Load, mayRepeat: boolean): Promise<void> {
  const copies = () => {
    const byTask = new Map<string, string[]>();
    for (const { channel, key, value } of gateway.heard)
      if (channel === "results") byTask.set(key ?? "", [...(byTask.get(key ?? "") ?? []), value?.toString() ?? ""]);
    return byTask;
  };
  const isHeard = (): boolean => {
    const heard = copies();
    return load.calls.every(({ id }) => heard.has(id));
  };
  await until(`results of ${load.calls.length} tasks`, isHeard, boundMs);
  for (const { id, door } of load.calls) {
    const stored = (await server.ask(`/v1/tasks/${id}`)).body.toString();
    const result = JSON.parse(stored) as Result;
    expect(result).toMatchObject({ task_id: id, status: "success", reason: "ok", attempt: 1 });
    if (door === "http") expect(load.overHttp.get(id)).toEqual({ status: 200, body: stored });
    const [name, sha256] = result.output.stdout.split(/\s+/);
    const { body } = await server.ask(`/v1/tasks/${id}/artifacts/noise`);
    expect([id, createHash("sha256").update(body).digest("hex")]).toEqual([name, sha256]);
    const sent = copies().get(id) ?? [];
    expect([id, mayRepeat ? [...new Set(sent)] : sent]).toEqual([id, [stored]]);
  }
  expect([...copies().keys()].sort()).toEqual(load.calls.map(({ id }) => id).sort());
  expect(gateway.heard.filter(({ channel }) => channel === "dead_letters")).toEqual([]);
}

async function expectNothingLeft({ toolx, server, ends, database, bucket }: Site, { calls }: Load): Promise<void> {
  const unsent = async () =>
    (await database.client.query("select 1 from outbox where published_at is null")).rows.length;
  await until("all that was sent is marked", async () => (await unsent()) === 0, boundMs);
  const metrics = (await server.ask("/metrics")).body.toString();
  const waiting = metrics.split("\n").filter((line) => /^tool_executor_buffered\{.*\} [1-9]/.test(line));
  expect(waiting).toEqual([]);
  await stopServer(server);
  const count = async (sql: string) => Number((await database.client.query(sql)).rows[0]?.count);
  expect(await count("select count(*) from tasks where state = 'FINISHED' and strikes = 0")).toBe(calls.length);
  expect(await count("select count(*) from tasks")).toBe(calls.length);
  expect(await count("select count(*) from attempts")).toBe(calls.length);
  expect(await listed(store().listIncompleteUploads(bucket, "", true))).toEqual([]);
  const folders = new Set(
    (await listed(store().listObjectsV2(bucket, "", true))).map((name) => name.split("/", 4).join("/")),
  );
  expect([...folders].sort()).toEqual(calls.map(({ id }) => `tasks/default/${id}/1`).sort());
  expect((await readdir(join(toolx.dataDir, "spool"))).filter((name) => !name.startsWith("lock"))).toEqual([]);
  expect(await behind(ends)).toBe(0);
  expect(await toolx.leftovers()).toEqual([]);
}

/** The names in a listing of the bucket. */
async function listed(listing: AsyncIterable<unknown>): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name, key } of listing as AsyncIterable<{ readonly name?: string; readonly key?: string }>)
    names.push(name ?? key ?? "");
  return names;
}

/** Calls that the group has not acknowledged. */
async function behind({ kafka, settings: { groupId, topics } }: KafkaEnds): Promise<number> {
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topics.tools);
  const [group] = await admin.fetchOffsets({ groupId, topics: [topics.tools] });
  await admin.disconnect();
  const acknowledged = new Map(group?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  return ends.reduce(
    (sum, { partition, high, low }) => sum + Number(high) - Math.max(acknowledged.get(partition) ?? 0, Number(low)),
    0,
  );
}
