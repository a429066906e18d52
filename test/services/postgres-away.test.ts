import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { type Cli, openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { type KafkaEnds, kafkaEnds, kafkaEnvironment } from "../support/kafka-ends.ts";
import { type Server, shellCall, startServer } from "../support/server.ts";
import { startKafka, startPostgres, startRedis } from "../support/services.ts";
import { startToxiproxy, type Toxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());
const postgres = forThisFile(() => startPostgres());
const redis = forThisFile(() => startRedis());
const boundMs = 90_000;
// Most of each test is waiting, and each has a site of its own: they run some at once, each of them slower for it.
vi.setConfig({ testTimeout: 240_000 });
let databases = 0;

/** A server on real services, of which the database and Redis are reached through a proxy each. */
interface Site extends AsyncDisposable {
  readonly toolx: Cli;
  readonly ends: KafkaEnds;
  readonly database: Toxiproxy;
  readonly buffer: Toxiproxy;
  readonly env: Readonly<Record<string, string>>;
  /** One that takes calls in. */
  serve(settings?: Readonly<Record<string, string>>): Promise<Server>;
  leaseUntil(taskId: string): Promise<number>;
  /** Around the proxy. */
  sql(statement: string): Promise<unknown>;
  /** What the table says of a task, around the proxy. */
  row(
    taskId: string,
  ): Promise<{ readonly state: string; readonly attempt: number; readonly strikes: number } | undefined>;
}

async function openSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const fresh = stack.use(await freshDatabase(postgres()));
  const database = stack.use(await startToxiproxy(postgres(), 5432));
  const buffer = stack.use(await startToxiproxy(redis(), 6379));
  const ends = stack.use(await kafkaEnds(broker().broker));
  // Some are killed, while servers of other tests look for what the dead of their host left.
  const toolx = stack.use(await openCli({ ownHost: true }));
  const url = new URL(fresh.url);
  url.port = String(database.port);
  const { topics, groupId } = ends.settings;
  databases += 1;
  const env = {
    DATABASE_URL: url.href,
    REDIS_URL: `redis://localhost:${buffer.port}/${databases}`,
    ...kafkaEnvironment(broker().broker, { groupId, topics }),
    KAFKA_SESSION_TIMEOUT_MS: "6000",
    LOG_LEVEL: "info",
  };
  const held = stack.move();
  return {
    toolx,
    ends,
    database,
    buffer,
    env,
    async serve(settings = {}) {
      const server = await startServer(toolx, { ...env, ...settings });
      await until("it takes calls in", async () => (await server.ask("/readyz")).status === 200, boundMs);
      return server;
    },
    async leaseUntil(taskId) {
      const sql = "select lease_until from tasks where task_id = $1";
      return Number((await fresh.client.query(sql, [taskId])).rows[0]?.lease_until);
    },
    sql: (statement) => fresh.client.query(statement),
    async row(taskId) {
      const sql = "select state, attempt, strikes from tasks where task_id = $1";
      return (await fresh.client.query(sql, [taskId])).rows[0];
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** A gauge or counter of ours; 0 for one that was never set. */
async function metric(server: Server, name: string): Promise<number> {
  const text = (await server.ask("/metrics")).body.toString();
  const line = text.split("\n").find((each) => each.startsWith(`tool_executor_${name} `));
  return line === undefined ? 0 : Number(line.split(" ").at(-1));
}

const metricIs = (server: Server, name: string, value: number) =>
  until(`${name} is ${value}`, async () => (await metric(server, name)) === value, boundMs);

const call = (taskId: string, command: string, rest: object = {}): string =>
  JSON.stringify({ ...shellCall(taskId, command, rest) });

/** What was sent on the topic of results, by task. */
async function results({ ends }: Site): Promise<ReadonlyMap<string, readonly string[]>> {
  const byTask = new Map<string, string[]>();
  for (const { key, value } of await ends.sent("results")) {
    const taskId = key?.toString() ?? "";
    byTask.set(taskId, [...(byTask.get(taskId) ?? []), value?.toString() ?? ""]);
  }
  return byTask;
}

const answered = (site: Site, taskIds: readonly string[]) =>
  until(
    `results of ${taskIds.join(", ")}`,
    async () => {
      const found = await results(site);
      return taskIds.every((taskId) => found.has(taskId));
    },
    boundMs,
  );

/** Begins a task that ends `seconds` later, and waits until it writes. */
async function begun(site: Site, server: Server, taskId: string, seconds: number, rest: object = {}): Promise<void> {
  const value = call(taskId, `echo begun; sleep ${seconds}; echo ended`, rest);
  await site.ends.offer("tools", { key: "default", value });
  const log = `/v1/tasks/${taskId}/logs`;
  await until("it writes", async () => (await server.ask(log)).body.includes("begun"), boundMs);
}

/** Ends the server, and answers all that was ever sent: each task once, with the bytes that the store answers. */
async function settled(site: Site, server: Server): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const stored = new Map<string, string>();
  for (const taskId of (await results(site)).keys())
    stored.set(taskId, (await server.ask(`/v1/tasks/${taskId}`)).body.toString());
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  const sent = await results(site);
  expect(new Map([...sent].map(([taskId, each]) => [taskId, each]))).toEqual(
    new Map([...stored].map(([taskId, bytes]) => [taskId, [bytes]])),
  );
  return new Map([...stored].map(([taskId, bytes]) => [taskId, JSON.parse(bytes)]));
}

describe("Postgres is away", { concurrent: true }, () => {
  test.each(["cut", "blackHole"] as const)(
    "before the intake and at the finish (%s): calls and results wait in Redis, and come out once, as they are stored",
    async (fault) => {
      await using site = await openSite();
      const server = await site.serve();
      await begun(site, server, "t-finish", 3);
      await site.database[fault]();
      await metricIs(server, 'buffered{place="redis",kind="finish"}', 1);
      const late = Array.from({ length: 20 }, (_, index) => `t-late-${index}`);
      await Promise.all(
        late.map((taskId) => site.ends.offer("tools", { key: taskId, value: call(taskId, `echo ${taskId}`) })),
      );
      // The same message again is the same call.
      await site.ends.offer("tools", { key: "t-late-0", value: call("t-late-0", "echo t-late-0") });
      const overHttp = await server.submit(shellCall("t-http", "echo over http"));
      expect(overHttp.status).toBe(202);
      await metricIs(server, 'buffered{place="redis",kind="intake"}', 21);
      // Acknowledged: Kafka has nothing more to bring.
      await metricIs(server, 'deliveries_total{fate="accepted"}', 22);
      expect((await results(site)).size).toBe(0);

      await site.database.mend();
      await answered(site, ["t-finish", "t-http", ...late]);
      await metricIs(server, 'buffered{place="redis",kind="intake"}', 0);
      await metricIs(server, 'buffered{place="redis",kind="finish"}', 0);
      expect(await metric(server, 'drained_total{kind="finish",fate="stored"}')).toBe(1);
      const found = await settled(site, server);
      expect(found.size).toBe(22);
      for (const [taskId, result] of found)
        expect(result, taskId).toMatchObject({ task_id: taskId, reason: "ok", attempt: 1 });
      expect(found.get("t-finish")).toMatchObject({ output: { stdout: "begun\nended\n" } });
      expect(found.get("t-late-7")).toMatchObject({ output: { stdout: "t-late-7\n" } });
      expect(await site.toolx.leftovers()).toEqual([]);
    },
  );

  test("during the run, longer than a lease: the attempt goes on and is nobody else's", async () => {
    await using site = await openSite();
    const server = await site.serve();
    await begun(site, server, "t-run", 20, { retry: "unsafe" });
    await site.database.cut();
    await until("it knows", () => server.process.stderr().includes('"msg":"store.away"'), boundMs);
    // By the database's clock, which is this machine's.
    const expiresAt = await site.leaseUntil("t-run");
    await until("the lease is over", () => Date.now() > expiresAt + 1000, boundMs);
    await site.database.mend();
    await answered(site, ["t-run"]);
    const found = await settled(site, server);
    expect([...found]).toEqual([["t-run", expect.objectContaining({ reason: "ok", attempt: 1 })]]);
    expect(await site.row("t-run")).toEqual({ state: "FINISHED", attempt: 1, strikes: 0 });
  });

  test("between the lease and the command: the task begins later, without a strike", async () => {
    await using site = await openSite();
    const server = await site.serve();
    // Slow enough that the outage comes between two steps of an attempt.
    await site.database.slow(400);
    await site.ends.offer("tools", { key: "default", value: call("t-early", "echo done", { retry: "unsafe" }) });
    await until("it is about to start", async () => (await site.row("t-early"))?.state === "STARTING", boundMs);
    await site.database.cut();
    await metricIs(server, 'buffered{place="redis",kind="release"}', 1);
    await site.database.mend();
    await answered(site, ["t-early"]);
    const found = await settled(site, server);
    expect([...found]).toEqual([["t-early", expect.objectContaining({ reason: "ok", attempt: 2 })]]);
    expect(await site.row("t-early")).toEqual({ state: "FINISHED", attempt: 2, strikes: 0 });
  });

  test("and Redis too: results wait on the disk, calls in Kafka, and all comes out once", async () => {
    await using site = await openSite();
    const server = await site.serve();
    await begun(site, server, "t-finish", 3);
    await site.buffer.cut();
    await site.database.cut();
    await metricIs(server, 'buffered{place="disk",kind="finish"}', 1);
    await site.ends.offer("tools", { key: "default", value: call("t-held", "echo held") });
    await until("its partition waits", () => server.process.stderr().includes('"msg":"transport.held"'), boundMs);
    expect((await server.submit(shellCall("t-http", "echo over http"))).status).toBe(503);
    expect(await metric(server, 'buffered{place="redis",kind="intake"}')).toBe(0);

    // The database alone is enough.
    await site.database.mend();
    await answered(site, ["t-finish", "t-held"]);
    await metricIs(server, 'buffered{place="disk",kind="finish"}', 0);
    expect((await readdir(join(site.toolx.dataDir, "spool"))).filter((name) => name.includes("finish"))).toEqual([]);
    await site.buffer.mend();
    const found = await settled(site, server);
    expect([...found.keys()].sort()).toEqual(["t-finish", "t-held"]);
    for (const result of found.values()) expect(result).toMatchObject({ reason: "ok", attempt: 1 });
  });

  test("and the buffer is full: what has no room waits in Kafka, and all comes out once", async () => {
    await using site = await openSite();
    const server = await site.serve({ TOOL_EXECUTOR_BUFFER_MAX_MB: "1" });
    await site.database.cut();
    const ids = Array.from({ length: 6 }, (_, index) => `t-${index}`);
    for (const taskId of ids) {
      const value = call(taskId, "wc -c", { stdin: "x".repeat(300_000) });
      await site.ends.offer("tools", { key: "default", value });
    }
    await metricIs(server, 'buffered{place="redis",kind="intake"}', 3);
    await until("the others wait", () => server.process.stderr().includes("it is full (1048576 bytes"), boundMs);
    await site.database.mend();
    await answered(site, ids);
    const found = await settled(site, server);
    expect([...found.keys()].sort()).toEqual(ids);
    for (const result of found.values())
      expect(result).toMatchObject({ reason: "ok", attempt: 1, output: { stdout: "300000\n" } });
  });

  test.each([
    ["redis", false],
    ["disk", true],
  ] as const)(
    "and the server is killed: what waits in %s is the task's answer after the next start",
    async (place, redisToo) => {
      await using site = await openSite();
      const first = await site.serve();
      await begun(site, first, "t-finish", 3, { retry: "unsafe" });
      if (redisToo) await site.buffer.cut();
      await site.database.cut();
      await metricIs(first, `buffered{place="${place}",kind="finish"}`, 1);
      first.process.child.kill("SIGKILL");
      await first.process.ended();
      await site.database.mend();
      await site.buffer.mend();
      const second = await site.serve();
      await answered(site, ["t-finish"]);
      const found = await settled(site, second);
      expect([...found]).toEqual([["t-finish", expect.objectContaining({ reason: "ok", attempt: 1 })]]);
    },
  );
});

test.concurrent("what is asked while the database is away is acknowledged or answered, and comes to what it would have come to", async () => {
  await using site = await openSite();
  const server = await site.serve();
  await begun(site, server, "t-run", 60, { limits: { timeout_seconds: 90 } });
  await begun(site, server, "t-finish", 3);
  await site.database.cut();
  await metricIs(server, 'buffered{place="redis",kind="finish"}', 1);
  const offer = (channel: "tools" | "control", value: string) => site.ends.offer(channel, { key: "default", value });
  await offer("tools", call("t-late", "echo late"));
  await offer("tools", JSON.stringify({ task_id: "t-wrong", tool_name: "no_such_tool", payload: {} }));
  // Under a name that is another task's, which nobody can know now.
  await offer("tools", JSON.stringify({ task_id: "t-run", tool_name: "no_such_tool", payload: {} }));
  await offer("control", JSON.stringify({ task_id: "t-run", action: "cancel" }));
  await metricIs(server, 'buffered{place="redis",kind="intake"}', 1);
  await metricIs(server, 'buffered{place="redis",kind="refusal"}', 2);
  await metricIs(server, 'buffered{place="redis",kind="cancel"}', 1);
  expect(server.process.stderr()).not.toContain("transport.held");
  expect((await server.ask("/v1/tasks/t-run", { method: "DELETE" })).status).toBe(202);

  const asked = async (path: string) => {
    const { status, headers, body } = await server.ask(path);
    return { status, retryAfter: headers["retry-after"], body: JSON.parse(body.toString()) };
  };
  expect(await asked("/v1/tasks/t-late")).toMatchObject({
    status: 200,
    body: { state: "RECEIVED", tool_name: "shell" },
  });
  const away = {
    status: 503,
    retryAfter: "1",
    body: { code: "unavailable", detail: expect.stringMatching(/task store/) },
  };
  expect(await asked("/v1/tasks/t-run")).toMatchObject(away);
  expect(await asked("/v1/tasks/t-run?wait=200ms")).toMatchObject(away);
  expect(await asked("/v1/tasks")).toMatchObject(away);
  const said = [{ path: "/state", message: expect.stringContaining("has ended, and its result waits") }];
  expect(await asked("/v1/tasks/t-finish")).toMatchObject({ ...away, body: { details: said } });
  const waiting = server.ask("/v1/tasks/t-late?wait=120s");

  await site.database.mend();
  await answered(site, ["t-run", "t-finish", "t-late", "t-wrong"]);
  const sent = await results(site);
  expect([...sent.values()].map((each) => each.length)).toEqual([...sent].map(() => 1));
  const resultOf = (taskId: string) => JSON.parse(sent.get(taskId)?.[0] ?? "null");
  expect(resultOf("t-run")).toMatchObject({ reason: "cancelled", attempt: 1, output: { stdout: "begun\n" } });
  expect(resultOf("t-wrong")).toMatchObject({ reason: "unknown_tool", task_id: "t-wrong" });
  expect((await waiting).body.toString()).toBe(sent.get("t-late")?.[0]);
  expect(resultOf("t-late")).toMatchObject({ reason: "ok" });
  const letters = () => site.ends.sent("dead_letters");
  await until("the second under a known name", async () => (await letters()).length > 0, boundMs);
  expect((await letters()).map(({ key }) => key?.toString())).toEqual(["t-run"]);
  for (const kind of ["intake", "cancel", "refusal", "finish"])
    await metricIs(server, `buffered{place="redis",kind="${kind}"}`, 0);
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  expect(await site.toolx.leftovers()).toEqual([]);
});

test.concurrent("a database that bars us stops the start; later it turns the server red, keeps what has run, and nothing new is taken in", async () => {
  await using site = await openSite();
  const url = new URL(site.env.DATABASE_URL ?? "");
  [url.username, url.password] = [`executor_${databases}`, "first-secret"];
  const password = (text: string) => site.sql(`alter role ${url.username} password '${text}'`);
  await site.sql(`create role ${url.username} superuser login password 'another-secret'`);
  const env = { DATABASE_URL: url.href };
  const refused = await site.toolx.run(["serve"], { env: { ...site.env, ...env } });
  expect(refused).toMatchObject({ code: 125, stderr: expect.stringContaining("the server refuses this user") });
  expect(refused.stderr).not.toContain("first-secret");

  await password("first-secret");
  const server = await site.serve(env);
  await begun(site, server, "t-finish", 5, { retry: "unsafe" });
  await password("another-secret");
  await site.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tool-executor'");
  await until("it knows", () => server.process.stderr().includes('"msg":"store.barred"'), boundMs);
  await metricIs(server, 'buffered{place="redis",kind="finish"}', 1);
  const ready = JSON.parse((await server.ask("/readyz", { local: true })).body.toString());
  expect(ready.missing).toEqual([{ name: "store", why: expect.stringContaining("the server refuses this user") }]);
  await site.ends.offer("tools", { key: "default", value: call("t-held", "echo held") });
  await until("its partition waits", () => server.process.stderr().includes('"msg":"transport.held"'), boundMs);
  await metricIs(server, 'lag_messages{channel="tools"}', 1);
  expect((await server.submit(shellCall("t-http", "echo over http"))).status).toBe(503);
  expect(await metric(server, 'buffered{place="redis",kind="intake"}')).toBe(0);
  expect(server.process.stderr()).not.toContain("-secret");

  await password("first-secret");
  await answered(site, ["t-finish", "t-held"]);
  await metricIs(server, 'lag_messages{channel="tools"}', 0);
  const found = await settled(site, server);
  expect([...found.keys()].sort()).toEqual(["t-finish", "t-held"]);
  for (const result of found.values()) expect(result).toMatchObject({ reason: "ok", attempt: 1 });
});

test.concurrent("however often the database goes and comes back, each call has one answer", async () => {
  await using site = await openSite();
  const server = await site.serve();
  const ids = Array.from({ length: 60 }, (_, index) => `t-${index}`);
  for (const [round, fault] of (["cut", "swallowAnswers", "cut", "swallowAnswers", "blackHole"] as const).entries()) {
    const own = ids.slice(round * 12, round * 12 + 12);
    const offer = (taskId: string) =>
      site.ends.offer("tools", { key: taskId, value: call(taskId, `echo ${taskId}`, { retry: "unsafe" }) });
    await Promise.all(own.slice(0, 4).map(offer));
    await site.database[fault]();
    await Promise.all(own.slice(4, 8).map(offer));
    const count = () => server.process.stderr().match(/"msg":"store.away"/g)?.length ?? 0;
    await until("it knows", () => count() > round, boundMs);
    await Promise.all(own.slice(8).map(offer));
    await site.database.mend();
    await until(
      "it is back",
      () => (server.process.stderr().match(/"msg":"store.back"/g)?.length ?? 0) > round,
      boundMs,
    );
  }
  await answered(site, ids);
  await metricIs(server, 'buffered{place="redis",kind="intake"}', 0);
  await metricIs(server, 'buffered{place="redis",kind="finish"}', 0);
  const stored = new Map<string, string>();
  for (const taskId of ids) stored.set(taskId, (await server.ask(`/v1/tasks/${taskId}`)).body.toString());
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  const sent = await results(site);
  expect([...sent.keys()].sort()).toEqual([...ids].sort());
  // A mark of the relay may have got lost: then the same bytes come again, and say so by their hash.
  for (const [taskId, each] of sent) expect([...new Set(each)], taskId).toEqual([stored.get(taskId)]);
  for (const [taskId, bytes] of stored)
    expect(JSON.parse(bytes), taskId).toMatchObject({ reason: "ok", output: { stdout: `${taskId}\n` } });
  expect(await site.toolx.leftovers()).toEqual([]);
});

test.concurrent("Redis away alone is told in the log, and stops nothing, not the start either", async () => {
  await using site = await openSite();
  await site.buffer.cut();
  const server = await site.serve();
  await site.ends.offer("tools", { key: "default", value: call("t-1", "echo one") });
  await answered(site, ["t-1"]);
  const told = server.process.stderr().match(/"msg":"buffer.failed"/g) ?? [];
  expect(told).toHaveLength(1);
  const found = await settled(site, server);
  expect([...found]).toEqual([["t-1", expect.objectContaining({ reason: "ok", attempt: 1 })]]);
});

test.concurrent("what waits is counted and brought to the database by hand, with no server", async () => {
  await using site = await openSite();
  const server = await site.serve();
  await begun(site, server, "t-finish", 3);
  await site.database.cut();
  await site.ends.offer("tools", { key: "default", value: call("t-late", "echo late") });
  await metricIs(server, 'buffered{place="redis",kind="finish"}', 1);
  await metricIs(server, 'buffered{place="redis",kind="intake"}', 1);
  server.process.child.kill("SIGKILL");
  await server.process.ended();
  const replay = (...flags: readonly string[]) => site.toolx.run(["replay", "--buffered", ...flags], { env: site.env });

  // To count needs no database.
  const counted = await replay("--dry-run");
  expect(counted).toMatchObject({
    code: 0,
    stderr: "redis: 2 wait (1 intake, 1 finish), the oldest for 0 min\ndisk: nothing waits\n",
  });
  const tooEarly = await replay();
  expect(tooEarly).toMatchObject({
    code: 125,
    stderr: expect.stringMatching(/^toolx: internal: task store localhost:/),
  });
  await site.database.mend();
  expect(await replay()).toMatchObject({ code: 0, stderr: "redis: drained: 2 stored\ndisk: nothing waits\n" });
  expect(await site.row("t-finish")).toEqual({ state: "FINISHED", attempt: 1, strikes: 0 });
  expect(await site.row("t-late")).toEqual({ state: "QUEUED", attempt: 0, strikes: 0 });
  const again = await replay("-o", "json");
  const nothing = { drained: { stored: 0, known: 0, conflict: 0, outdated: 0 }, left: [] };
  expect(JSON.parse(again.stdout)).toEqual({ redis: nothing, disk: nothing });
});

test.concurrent("a server whose Redis may lose what it is given does not start, and says what to change", async () => {
  await using careless = await startRedis("--appendonly", "yes", "--appendfsync", "everysec");
  await using site = await openSite();
  const secret = "a-secret-of-the-tests";
  const url = careless.url.replace("redis://", `redis://:${secret}@`);
  const refused = await site.toolx.run(["serve"], { env: { ...site.env, REDIS_URL: careless.url } });
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("appendfsync is everysec, must be always"),
  });
  const shown = await site.toolx.run(["config", "show"], { env: { ...site.env, REDIS_URL: url } });
  expect(shown.stdout).toContain("redis://:***@");
  expect(shown.stdout).not.toContain(secret);
});
