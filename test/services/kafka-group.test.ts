import { describe, expect, test } from "vitest";
import type { TransportEvent } from "../../src/ports/transport.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { testHouse } from "../support/house.ts";
import { type KafkaEnds, kafkaEnds } from "../support/kafka-ends.ts";
import { never } from "../support/samples.ts";
import { serviceUnderTest } from "../support/service-under-test.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

const boundMs = 90_000;

const call = (id: string, command = "true"): string =>
  JSON.stringify({ task_id: id, tool_name: "shell", payload: { command } });

const kinds = (events: readonly TransportEvent[]): readonly string[] => events.map(({ kind }) => kind);

/** Every copy of every result, by task. */
async function copies(ends: KafkaEnds): Promise<ReadonlyMap<string, readonly string[]>> {
  const byTask = new Map<string, string[]>();
  for (const { key, value } of await ends.sent("results")) {
    const id = key?.toString() ?? "";
    byTask.set(id, [...(byTask.get(id) ?? []), value?.toString("hex") ?? ""]);
  }
  return byTask;
}

/** Waits until each task has its result, and expects every further copy of it to be the same. */
async function expectOneAnswerEach(ends: KafkaEnds, ids: readonly string[]): Promise<void> {
  const all = await until(
    `results of ${ids.length} tasks`,
    async () => {
      const found = await copies(ends);
      return ids.every((id) => found.has(id)) ? found : null;
    },
    boundMs,
  );
  expect([...all.keys()].sort()).toEqual([...ids].sort());
  for (const each of all.values()) expect(new Set(each).size).toBe(1);
}

// Most of each is waiting, and each has topics and a group of its own.
describe("in the group", { concurrent: true }, () => {
  const broker = forThisFile(() => startKafka());

  test("a task of 30 s under a session of 6 s causes no rebalance", async () => {
    await using house = await testHouse();
    await using ends = await kafkaEnds(broker().broker);
    expect(ends.settings.sessionTimeoutMs).toBe(6000);
    await using service = serviceUnderTest(house, ends.open());
    await ends.offer("tools", { key: "same", value: call("long", "sleep 29.9; echo done") });
    // Once something has come the topics, made a moment ago, are settled: from here on nothing may move.
    await until("it is taken in", () => service.taken.length > 0, boundMs);
    const settled = ends.events.length;
    // What stands behind it in its partition does not wait for it.
    await ends.offer("tools", { key: "same", value: call("short") });
    await until("the short one", async () => (await copies(ends)).has("short"), boundMs);
    expect((await copies(ends)).has("long")).toBe(false);
    await expectOneAnswerEach(ends, ["long", "short"]);
    expect(kinds(ends.events.slice(settled))).toEqual([]);
    expect([...service.attempts].sort()).toEqual(["long/1", "short/1"]);
  });

  test("a delivery that takes longer than the session causes none, either", async () => {
    await using ends = await kafkaEnds(broker().broker);
    const transport = ends.open();
    const stop = new AbortController();
    const taken: number[] = [];
    let settled = 0;
    const consuming = transport.consume(async () => {
      const startedAt = performance.now();
      settled = ends.events.length;
      // As a store that answers late.
      await until("ten seconds later", () => performance.now() - startedAt > 10_000, 20_000);
      taken.push(performance.now() - startedAt);
    }, stop.signal);
    await ends.offer("tools", { value: "one" });
    await until("it is taken", () => taken.length > 0, boundMs);
    stop.abort(new Error("the test is over"));
    await consuming;
    await transport[Symbol.asyncDispose]();
    expect(kinds(ends.events.slice(settled))).toEqual([]);
    expect(taken).toHaveLength(1);
  });

  test("two members share the partitions, and one that leaves leaves nothing behind", async () => {
    await using house = await testHouse();
    await using ends = await kafkaEnds(broker().broker, { partitions: 6 });
    const partitions = () =>
      ends.events.flatMap((event) => (event.kind === "joined" ? [event.partitions] : [])).slice(-2);
    const ids = Array.from({ length: 30 }, (_, index) => `shared-${index}`);
    await using one = serviceUnderTest(house, ends.open(), 1);
    {
      await using other = serviceUnderTest(house, ends.open(), 1);
      // Six of each of two topics, half of them each.
      await until("an even share", () => partitions().join() === "6,6", boundMs);
      for (const id of ids.slice(0, 15)) await ends.offer("tools", { key: id, value: call(id) });
      await until("both have taken some", () => one.taken.length > 0 && other.taken.length > 0, boundMs);
    }
    for (const id of ids.slice(15)) await ends.offer("tools", { key: id, value: call(id) });
    await expectOneAnswerEach(ends, ids);
    const attempts = await Promise.all(
      ids.map((taskId) => house.parts.store.get({ tenantId: "default", taskId }, never())),
    );
    expect(attempts.map((record) => record?.attempt)).toEqual(ids.map(() => 1));
  });
});
