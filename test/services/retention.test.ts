import { Client } from "minio";
import { expect, test } from "vitest";
import { postgresTaskStore } from "../../src/adapters/postgres/postgres-task-store.ts";
import { s3ObjectStore } from "../../src/adapters/s3/s3-object-store.ts";
import { type SweepPorts, sweepOnce } from "../../src/loops/sweep.ts";
import { taskKey } from "../../src/model/task.ts";
import type { ObjectStore } from "../../src/ports/object-store.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { freshDatabase, underClock } from "../support/fresh-database.ts";
import { anOwner, aResult, aTask, handClock, never } from "../support/samples.ts";
import { shellCall, startServer } from "../support/server.ts";
import { startMinio, startPostgres } from "../support/services.ts";
import { until } from "../support/until.ts";

const postgres = forThisFile(startPostgres);
const minio = forThisFile(startMinio);
const dayMs = 24 * 60 * 60 * 1000;
const ages = {
  logsMs: dayMs,
  artifactsMs: 2 * dayMs,
  resultsMs: 3 * dayMs,
  deadLettersMs: dayMs,
  outboxMs: 1000 * dayMs,
  auditMs: 1000 * dayMs,
  filesMs: dayMs,
};

let buckets = 0;
async function freshBucket() {
  const { url, accessKey, secretKey } = minio();
  const { hostname: host, port } = new URL(url);
  const s3 = new Client({ endPoint: host, port: Number(port), useSSL: false, accessKey, secretKey });
  buckets += 1;
  const bucket = `retention-${buckets}`;
  await s3.makeBucket(bucket);
  const endpoint = { host, port: Number(port), tls: false };
  return { endpoint, bucket, region: "us-east-1", accessKey, secretKey };
}

test("on PostgreSQL and S3, of two executors that sweep at once, each thing goes when its time is over, and nothing that waits", async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase(postgres()));
  const clock = handClock(Date.now());
  const clocked = await underClock(database, clock);
  const address = await freshBucket();
  const executor = async () => {
    const store = clocked(stack.use(await postgresTaskStore(database.address, never())));
    const objects = stack.use(s3ObjectStore(address));
    const removeLines: SweepPorts["removeLines"] = async () => {};
    return { store, objects, removeLines, clock, retention: ages, abandoned: [] };
  };
  const [one, other] = [await executor(), await executor()];
  const { store, objects } = one;
  const pass = async (): Promise<{ readonly results: number }> => {
    const reports = await Promise.all([sweepOnce(one, never()), sweepOnce(other, never())]);
    return { results: reports[0].results + reports[1].results };
  };
  const ids = Array.from({ length: 130 }, (_, index) => `t-${index}`);
  for (const taskId of ids) await ended(store, objects, taskId);
  await sent(store);
  await ended(store, objects, "t-unsent");
  await store.intake(aTask({ task_id: "t-queued" }), "h", never());
  await put(objects, "dead_letters/topic/0/17");
  const count = async (name: string): Promise<number> =>
    (await objects.list("tasks", never())).filter(({ key }) => key.endsWith(name)).length;

  expect(await pass()).toEqual({ results: 0 });
  expect([await count("logs.ndjson.gz"), await count("artifacts.tar")]).toEqual([131, 131]);
  clock.advance(dayMs + 60_000);
  expect(await pass()).toEqual({ results: 0 });
  expect([await count("logs.ndjson.gz"), await count("artifacts.tar")]).toEqual([1, 131]);
  expect(await objects.list("dead_letters", never())).toEqual([]);
  clock.advance(dayMs);
  expect(await pass()).toEqual({ results: 0 });
  expect([await count("logs.ndjson.gz"), await count("artifacts.tar"), await count("manifest.json")]).toEqual([
    1, 1, 1,
  ]);
  expect(await store.list({ limit: 1000 }, never())).toHaveLength(132);
  clock.advance(dayMs);
  expect(await pass()).toEqual({ results: 130 });
  const left = (await store.list({ limit: 1000 }, never())).map(({ task }) => task.task_id);
  expect(left.sort()).toEqual(["t-queued", "t-unsent"]);
  const rows = async (table: string) =>
    (await database.client.query<{ count: number }>(`select count(*)::int as count from ${table}`)).rows[0]?.count;
  expect([await rows("attempts"), await rows("outbox")]).toEqual([1, 1]);
  expect([await count("logs.ndjson.gz"), await count("artifacts.tar")]).toEqual([1, 1]);

  await sent(store);
  expect(await pass()).toEqual({ results: 1 });
  expect(await objects.list("tasks", never())).toEqual([]);
});

test("a server takes away what is past its time by itself, and counts it", async () => {
  await using database = await freshDatabase(postgres());
  await using toolx = await openCli();
  const address = await freshBucket();
  const { bucket, accessKey, secretKey } = address;
  const env = {
    ...{ DATABASE_URL: database.url, S3_ENDPOINT: minio().url, S3_BUCKET: bucket },
    ...{ S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey, TOOL_EXECUTOR_RETAIN_RESULTS_DAYS: "2" },
  };
  const first = await startServer(toolx, env);
  for (const id of ["t-old", "t-young"])
    expect((await first.submit(shellCall(id, "echo hi; echo 1 > /output/one"), "60s")).status).toBe(200);
  first.process.child.kill("SIGTERM");
  expect(await first.process.ended()).toMatchObject({ code: 0 });
  await database.client.query("update tasks set finished_at = finished_at - $1 where task_id = 't-old'", [2 * dayMs]);

  const second = await startServer(toolx, env);
  const isGone = async () => (await second.ask("/v1/tasks/t-old")).status === 404;
  await until("the old task is gone", isGone, 30_000);
  expect((await second.ask("/v1/tasks/t-young/artifacts/one")).body.toString()).toBe("1\n");
  await using objects = s3ObjectStore(address);
  const keys = (await objects.list("tasks", never())).map(({ key }) => key.split("/").at(2));
  expect(new Set(keys)).toEqual(new Set(["t-young"]));
  const counted = async () => (await second.ask("/metrics")).body.includes('swept_total{kind="results"} 1');
  await until("it is counted", counted, 10_000);
  second.process.child.kill("SIGTERM");
  expect(await second.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});

async function put(objects: ObjectStore, key: string): Promise<void> {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("x");
  };
  await objects.put(key, body(), never());
}

async function ended(store: TaskStore, objects: ObjectStore, taskId: string): Promise<void> {
  const task = aTask({ task_id: taskId });
  await store.intake(task, "h1", never());
  const attempt = await store.leaseTask(taskKey(task), anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  for (const name of ["artifacts.tar", "manifest.json", "logs.ndjson.gz"])
    await put(objects, `tasks/acme/${taskId}/1/${name}`);
  await store.finish(attempt, aResult(), Buffer.from("result"), never());
}

async function sent(store: TaskStore): Promise<void> {
  const rows = await store.claimOutbox(1000, 1, never());
  await store.markPublished(
    rows.map(({ id }) => id),
    never(),
  );
}
