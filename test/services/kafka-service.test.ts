import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { forThisFile } from "../support/for-this-file.ts";
import { testHouse } from "../support/house.ts";
import { everything, type KafkaEnds, kafkaEnds } from "../support/kafka-ends.ts";
import { never } from "../support/samples.ts";
import { serviceUnderTest } from "../support/service-under-test.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());
const boundMs = 60_000;

const call = (id: string, code: string, more: object = {}): string =>
  JSON.stringify({
    task_id: id,
    tenant_id: "acme",
    tool_name: "code_interpreter",
    payload: { language: "python", code },
    ...more,
  });

/** Waits for that many results, and answers all there are. */
async function results(ends: KafkaEnds, count: number) {
  const sent = await until(
    `${count} results`,
    async () => {
      const all = await ends.sent("results");
      return all.length >= count ? all : null;
    },
    boundMs,
  );
  return sent.map(({ key, value, headers }) => ({
    key: key?.toString(),
    bytes: value ?? Buffer.alloc(0),
    result: JSON.parse(value?.toString() ?? "null"),
    headers: Object.fromEntries(headers.map(([name, each]) => [name, each.toString()])),
  }));
}

test("a message in runs Python in a container, and its result comes out", async () => {
  await using house = await testHouse();
  await using ends = await kafkaEnds(broker().broker);
  await using service = serviceUnderTest(house, ends.open());
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const code = 'import os\nprint(6*7, os.environ["TRACEPARENT"])\nopen("/output/plot.txt", "w").write("x")';
  await ends.offer("tools", {
    key: "acme",
    value: call("t-1", code, { metadata: { correlation_id: "c-1" } }),
    headers: [["traceparent", Buffer.from(traceparent)]],
  });
  const [first] = await results(ends, 1);
  expect(first?.result).toMatchObject({
    task_id: "t-1",
    tenant_id: "acme",
    reason: "ok",
    output: { stdout: `42 ${traceparent}\n`, artifacts: [{ path: "plot.txt" }] },
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    metadata: { correlation_id: "c-1", tenant_id: "acme" },
  });
  expect(first?.key).toBe("t-1");
  const sha256 = createHash("sha256")
    .update(first?.bytes ?? "")
    .digest("hex");
  expect(first?.headers).toEqual({ "result-sha256": sha256, traceparent });
  expect(service.troubles).toEqual([]);

  const told = await until(
    "all that is told of it",
    async () => {
      const all = (await ends.sent("progress")).map(({ value }) => JSON.parse(value?.toString() ?? "null"));
      return all.some(({ event }) => event === "finished") ? all : null;
    },
    boundMs,
  );
  expect(told.map(({ event }) => event)).toEqual(["queued", "started", "artifact", "finished"]);
  expect(told.at(-1)).toMatchObject({ task_id: "t-1", tenant_id: "acme", status: "success", reason: "ok" });
});

test("G9 the same message 100 times at once over several partitions runs once, and every answer has the same bytes", async () => {
  await using house = await testHouse();
  await using ends = await kafkaEnds(broker().broker);
  await using service = serviceUnderTest(house, ends.open());
  const value = call("t-100", "print(1)");
  await Promise.all(Array.from({ length: 100 }, (_, index) => ends.offer("tools", { key: `k${index}`, value })));
  await until("all 100", () => service.taken.length >= 100, boundMs);
  await results(ends, 1);
  // One that comes after the end is answered again.
  await ends.offer("tools", { value });
  const all = await results(ends, 2);
  expect(new Set(all.map(({ bytes }) => bytes.toString("hex"))).size).toBe(1);
  expect(service.attempts).toEqual(["t-100/1"]);
  const partitions = new Set((await everything(ends.kafka, ends.settings, "tools")).map(({ key }) => key?.toString()));
  expect(partitions.size).toBeGreaterThan(90);
});

test("a result that the broker does not take goes by reference, and so do all after it", async () => {
  await using house = await testHouse();
  // The broker takes less than we are told it does.
  await using ends = await kafkaEnds(broker().broker);
  const admin = ends.kafka.admin();
  await admin.connect();
  const small = [{ name: "max.message.bytes", value: "100000" }];
  await admin.createTopics({
    topics: [{ topic: ends.settings.topics.results, configEntries: small }],
    waitForLeaders: true,
  });
  await admin.disconnect();
  await using _service = serviceUnderTest(house, ends.open());
  // No text, so that 64 KiB of it are more in JSON.
  const code = "import sys\nfor out in (sys.stdout, sys.stderr): out.buffer.write(bytes([255]) * 65536)";
  await ends.offer("tools", { key: "same", value: call("large", code) });
  const [large] = await results(ends, 1);
  expect(large?.result).toMatchObject({
    task_id: "large",
    reason: "ok",
    output: { stdout: "", stdout_bytes: 65_536 },
    result_object: "tasks/acme/large/1/result.json",
  });
  const bytes: Uint8Array[] = [];
  for await (const chunk of (await house.parts.objects.get(large?.result.result_object, never())) ?? [])
    bytes.push(Buffer.from(chunk));
  const sha256 = createHash("sha256").update(Buffer.concat(bytes)).digest("hex");
  expect(large?.headers["result-sha256"]).toBe(sha256);
  expect(JSON.parse(Buffer.concat(bytes).toString()).output.stdout_encoding).toBe("base64");
  await ends.offer("tools", { key: "same", value: call("small", "print(1)") });
  expect((await results(ends, 2)).find(({ key }) => key === "small")?.result.output.stdout).toBe("1\n");
});
