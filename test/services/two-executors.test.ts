import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { type FreshDatabase, freshDatabase } from "../support/fresh-database.ts";
import { type KafkaEnds, kafkaEnds, kafkaEnvironment } from "../support/kafka-ends.ts";
import { type Server, shellCall, startServer } from "../support/server.ts";
import { startKafka, startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());
const postgres = forThisFile(startPostgres);
const boundMs = 60_000;

let toolx: Cli;
let database: FreshDatabase;
let ends: KafkaEnds;
beforeEach(async () => {
  toolx = await openCli({ ownHost: true });
  database = await freshDatabase(postgres());
  ends = await kafkaEnds(broker().broker);
});
afterEach(async () => {
  try {
    expect(await toolx.leftovers()).toEqual([]);
  } finally {
    await toolx[Symbol.asyncDispose]();
    await ends[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  }
});

/** One executor of the group, with a data folder of its own: what they share is the database, the topics and the host. */
async function executor(name: string, settings: object = {}, flags: readonly string[] = []): Promise<Server> {
  const { groupId, topics, sessionTimeoutMs } = ends.settings;
  const server = await startServer(
    toolx,
    {
      DATABASE_URL: database.url,
      TOOL_EXECUTOR_DATA: `${toolx.dataDir}-${name}`,
      TOOL_EXECUTOR_MAX_WORKERS: "3",
      ...kafkaEnvironment(broker().broker, { groupId, topics }),
      KAFKA_SESSION_TIMEOUT_MS: String(sessionTimeoutMs),
      ...settings,
    },
    flags,
  );
  await until("it is in its group", async () => (await server.ask("/readyz")).status === 200, boundMs);
  return server;
}

const offer = (id: string, command: string, rest: object = {}, key = id) =>
  ends.offer("tools", { key, value: JSON.stringify(shellCall(id, command, rest)) });

/** Waits until each task has its result; every copy of one is the same bytes, and there is no result of another. */
async function onlyAnswers(ids: readonly string[]): Promise<ReadonlyMap<string, Result>> {
  const copies = await until(
    `results of ${ids.length} tasks`,
    async () => {
      const byTask = new Map<string, Set<string>>();
      for (const { key, value } of await ends.sent("results")) {
        const id = key?.toString() ?? "";
        byTask.set(id, (byTask.get(id) ?? new Set()).add(value?.toString() ?? ""));
      }
      return ids.every((id) => byTask.has(id)) ? byTask : null;
    },
    boundMs,
  );
  expect([...copies.keys()].sort()).toEqual([...ids].sort());
  for (const [id, each] of copies) expect({ id, copies: [...each] }).toEqual({ id, copies: [expect.any(String)] });
  return new Map([...copies].map(([id, each]) => [id, JSON.parse([...each][0] ?? "") as Result]));
}

async function sentSoFar(): Promise<number> {
  return new Set((await ends.sent("results")).map(({ key }) => key?.toString())).size;
}

async function attemptsOf(server: Server): Promise<number> {
  const { body } = await server.ask("/metrics");
  return [...body.toString().matchAll(/^tool_executor_tasks_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

async function stopped(...servers: readonly Server[]): Promise<void> {
  for (const { process } of servers) process.child.kill("SIGTERM");
  for (const { process } of servers) expect(await process.ended()).toMatchObject({ code: 0 });
}

const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** What a second run would print is something else. */
const onceOnly = "echo ready; sleep 2; head -c 8 /dev/urandom | base64";

describe("two executors in one group", () => {
  test("share the work, run a message that comes a hundred times once, and a kill -9 of one costs nothing but time", async () => {
    const [one, other] = await Promise.all([executor("one"), executor("other")]);
    const shared = numbered("shared", 24);
    await Promise.all(shared.map((id) => offer(id, "sleep 0.5")));
    // The same bytes, on every partition.
    await Promise.all(numbered("key", 100).map((key) => offer("same", "head -c 8 /dev/urandom | base64", {}, key)));
    const first = await onlyAnswers([...shared, "same"]);
    expect([...first.values()].map(({ reason, attempt }) => `${reason}/${attempt}`)).toEqual(
      [...first].map(() => "ok/1"),
    );
    const attempts = await Promise.all([attemptsOf(one), attemptsOf(other)]);
    expect(attempts.reduce((sum, each) => sum + each, 0)).toBe(25);
    for (const each of attempts) expect(each).toBeGreaterThan(4);

    // Some safe, some not: all of them are gone on with, so it makes no difference.
    const running = numbered("running", 6);
    await Promise.all(running.map((id, index) => offer(id, onceOnly, { retry: index % 2 ? "unsafe" : "safe" })));
    await until("all run", async () => (await statesOf(running)).every((state) => state === "RUNNING"), boundMs);
    const waiting = numbered("waiting", 6);
    await Promise.all(waiting.map((id) => offer(id, "true")));
    one.process.child.kill("SIGKILL");
    const killedAt = performance.now();
    await one.process.ended();
    await until("nothing is the dead one's", async () => (await heldBy(one)) === 0, 15_000);
    expect(performance.now() - killedAt).toBeLessThan(15_000);
    const all = await onlyAnswers([...shared, "same", ...running, ...waiting]);
    expect(running.map((id) => `${all.get(id)?.reason}/${all.get(id)?.attempt}`)).toEqual(running.map(() => "ok/1"));
    expect(waiting.map((id) => all.get(id)?.reason)).toEqual(waiting.map(() => "ok"));
    await stopped(other);
  });

  test.each([
    ["draining", [], { TOOL_EXECUTOR_DRAIN_SECONDS: "60" }],
    ["--handover", ["--handover"], { TOOL_EXECUTOR_DRAIN_SECONDS: "0" }],
  ])("a rolling restart under load loses nothing and doubles nothing: %s", async (_name, flags, settings) => {
    const servers = [await executor("one", settings, flags), await executor("other", settings, flags)];
    const ids = numbered("rolling", 40);
    let next = 0;
    const load = setInterval(() => {
      const id = ids[next++];
      if (id !== undefined) void offer(id, "sleep 1; echo done", { retry: "unsafe" });
    }, 150);
    try {
      for (const index of [0, 1]) {
        const before = await sentSoFar();
        await until("some have ended", async () => (await sentSoFar()) > before + 2, boundMs);
        const old = servers[index];
        if (old) await stopped(old);
        servers[index] = await executor(index === 0 ? "one" : "other", settings, flags);
      }
      await until("all are offered", () => next > ids.length, boundMs);
      const all = await onlyAnswers(ids);
      // None of them is safe: one that had begun twice would be none of these.
      expect([...all.values()].map(({ reason }) => reason)).toEqual(ids.map(() => "ok"));
    } finally {
      clearInterval(load);
    }
    await stopped(...servers);
  });
});

async function statesOf(ids: readonly string[]): Promise<readonly string[]> {
  const { rows } = await database.client.query("select state from tasks where task_id = any($1)", [ids]);
  return rows.map(({ state }) => state);
}

/** Tasks that this process has a lease of. */
async function heldBy({ process }: Server): Promise<number> {
  const like = `%:${process.child.pid}:%`;
  const { rows } = await database.client.query(
    "select 1 from tasks where state <> 'FINISHED' and lease_owner like $1",
    [like],
  );
  return rows.length;
}
