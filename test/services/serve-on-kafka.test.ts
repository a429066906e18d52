import { expect, test } from "vitest";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { kafkaEnds } from "../support/kafka-ends.ts";
import { shellCall, startServer } from "../support/server.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());

test("a server answers calls of Kafka and of HTTP with the same bytes on both, and sends what ended while it drained", async () => {
  await using toolx = await openCli();
  await using ends = await kafkaEnds(broker().broker);
  const { settings } = ends;
  const server = await startServer(toolx, {
    KAFKA_BROKERS: broker().broker,
    KAFKA_GROUP: settings.groupId,
    KAFKA_TOPIC_TOOLS: settings.topics.tools,
    KAFKA_TOPIC_CONTROL: settings.topics.control,
    KAFKA_TOPIC_RESULTS: settings.topics.results,
    KAFKA_TOPIC_DEAD_LETTERS: settings.topics.dead_letters,
    KAFKA_TOPIC_PROGRESS: settings.topics.progress,
  });
  await until("it is in its group", async () => (await server.ask("/readyz")).status === 200, 60_000);
  const call = JSON.stringify(shellCall("t-kafka", "echo over kafka"));
  await Promise.all(Array.from({ length: 10 }, () => ends.offer("tools", { key: "default", value: call })));
  const results = (taskId: string, boundMs = 60_000) =>
    until(
      `the result of ${taskId}`,
      async () => {
        const sent = (await ends.sent("results")).filter(({ key }) => key?.toString() === taskId);
        return sent.length > 0 ? sent.map(({ value }) => value?.toString()) : null;
      },
      boundMs,
    );
  const [first] = await results("t-kafka");
  expect(JSON.parse(first ?? "")).toMatchObject({ reason: "ok", attempt: 1, output: { stdout: "over kafka\n" } });
  expect((await server.ask("/v1/tasks/t-kafka")).body.toString()).toBe(first);

  const overHttp = await server.submit(shellCall("t-http", "echo over http"), "60s");
  expect(await results("t-http")).toEqual([overHttp.body.toString()]);

  await server.submit(shellCall("t-last", "echo ready; sleep 2"));
  await until("it runs", async () => (await server.ask("/v1/tasks/t-last/logs")).body.includes("ready"), 60_000);
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
  const [last] = await results("t-last");
  expect(JSON.parse(last ?? "")).toMatchObject({ reason: "ok", output: { stdout: "ready\n" } });
  expect(new Set(await results("t-kafka"))).toEqual(new Set([first]));
  expect(await toolx.leftovers()).toEqual([]);
});

test("a server whose topics are missing and may not be made ends with what is wrong", async () => {
  await using toolx = await openCli();
  const env = {
    KAFKA_BROKERS: broker().broker,
    KAFKA_TOPIC_TOOLS: "nowhere-to-be-found",
    KAFKA_CREATE_TOPICS: "no",
    TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0",
  };
  const { code, stderr } = await toolx.run(["serve"], { env });
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("nowhere-to-be-found") });
  expect(await toolx.leftovers()).toEqual([]);
});

test("G25 a flood over Kafka that the queue has no room for waits in its partitions, and every call of it is answered", async () => {
  await using toolx = await openCli();
  await using ends = await kafkaEnds(broker().broker);
  const { settings } = ends;
  const server = await startServer(toolx, {
    KAFKA_BROKERS: broker().broker,
    KAFKA_GROUP: settings.groupId,
    KAFKA_TOPIC_TOOLS: settings.topics.tools,
    KAFKA_TOPIC_CONTROL: settings.topics.control,
    KAFKA_TOPIC_RESULTS: settings.topics.results,
    KAFKA_TOPIC_DEAD_LETTERS: settings.topics.dead_letters,
    KAFKA_TOPIC_PROGRESS: settings.topics.progress,
    TOOL_EXECUTOR_MAX_WORKERS: "2",
    TOOL_EXECUTOR_MAX_QUEUED_PER_TENANT: "3",
  });
  await until("it is in its group", async () => (await server.ask("/readyz")).status === 200, 60_000);
  const ids = Array.from({ length: 20 }, (_, index) => `flood-${index}`);
  for (const id of ids)
    await ends.offer("tools", { key: "default", value: JSON.stringify(shellCall(id, "sleep 0.3")) });
  let most = 0;
  const answered = async (): Promise<boolean> => {
    const { tasks } = JSON.parse((await server.ask("/v1/tasks?state=QUEUED&limit=1000")).body.toString());
    most = Math.max(most, tasks.length);
    const { tasks: over } = JSON.parse((await server.ask("/v1/tasks?state=FINISHED&limit=1000")).body.toString());
    return over.length === ids.length;
  };
  await until("all have ended", answered, 90_000);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(3);
  const sent = await until(
    "all results",
    async () => {
      const results = await ends.sent("results");
      return results.length >= ids.length ? results : null;
    },
    30_000,
  );
  expect(sent.map(({ key }) => key?.toString()).sort()).toEqual([...ids].sort());
  expect(sent.map(({ value }) => JSON.parse(value?.toString() ?? "null").reason)).toEqual(ids.map(() => "ok"));
  expect(await ends.sent("dead_letters")).toEqual([]);
  server.process.child.kill("SIGTERM");
  expect(await server.process.ended()).toMatchObject({ code: 0 });
});
