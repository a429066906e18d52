import { expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { openCli } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { kafkaEnds, kafkaEnvironment } from "../support/kafka-ends.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { shellCall, startServer } from "../support/server.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

const broker = forThisFile(() => startKafka());
const traceId = "0af7651916cd43dd8448eb211c80319c";
const caller = "b7ad6b7169203331";
const traceparent = `00-${traceId}-${caller}-01`;
const [internal, server, producer, consumer] = [1, 2, 4, 5];

/** Every span of one trace, once its `publish` is there, by name. */
async function traceOf(receiver: OtlpReceiver, id: string): Promise<ReadonlyMap<string, ReceivedSpan>> {
  const ofTrace = () => receiver.spans().filter((span) => span.traceId === id);
  const names = ["intake", "lease", "attempt", "start", "run", "collect", "store", "publish"];
  await until("the whole trace", () => names.every((name) => ofTrace().some((span) => span.name === name)), 30_000);
  expect(
    ofTrace()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(names.toSorted());
  return new Map(ofTrace().map((span) => [span.name, span]));
}

test("a call that comes with a trace over Kafka is one trace, from its intake to its result, and so is one over HTTP", async () => {
  await using receiver = await startOtlpReceiver();
  await using toolx = await openCli();
  await using ends = await kafkaEnds(broker().broker);
  const { topics, groupId } = ends.settings;
  const serving = await startServer(toolx, {
    ...kafkaEnvironment(broker().broker, { groupId, topics }),
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_HEADERS: "x-token=hunter2" },
  });
  await until("it is in its group", async () => (await serving.ask("/readyz")).status === 200, 60_000);
  const command = "echo payload-word $TRACEPARENT; echo artifact-word > /output/one; exit 3";
  const call = shellCall("t-kafka", command, { env: { SECRET: "env-word" } });
  const headers = [["traceparent", Buffer.from(traceparent)]] as const;
  await ends.offer("tools", { key: "default", value: JSON.stringify(call), headers });
  const published = await until(
    "the result",
    async () => (await ends.sent("results")).find(({ key }) => key?.toString() === "t-kafka"),
    60_000,
  );
  const result = JSON.parse(published.value?.toString() ?? "") as Result;
  expect(result).toMatchObject({ reason: "nonzero_exit", trace_id: traceId, metadata: { traceparent } });

  const spans = await traceOf(receiver, traceId);
  const of = (name: string) => spans.get(name) as ReceivedSpan;
  for (const name of ["intake", "lease", "attempt", "publish"])
    expect([name, of(name).parentSpanId]).toEqual([name, caller]);
  for (const name of ["start", "run", "collect", "store"])
    expect([name, of(name).parentSpanId]).toEqual([name, of("attempt").spanId]);
  expect(["intake", "attempt", "publish"].map((name) => of(name).kind)).toEqual([consumer, internal, producer]);
  const ids = { "tool_executor.tenant_id": "default", "tool_executor.task_id": "t-kafka" };
  expect(of("intake").attributes).toMatchObject({ ...ids, "messaging.destination.name": topics.tools });
  const attempt = { ...ids, "tool_executor.tool": "shell", "tool_executor.attempt": 1 };
  expect(of("attempt").attributes).toEqual({ ...attempt, "tool_executor.reason": "nonzero_exit" });
  expect(of("attempt").failure).toBeNull();
  const steps = ["start", "run", "collect", "store"].map(of);
  for (const [index, step] of steps.entries()) {
    expect(step.startMs).toBeGreaterThanOrEqual(steps[index - 1]?.endMs ?? of("attempt").startMs);
    expect(step.endMs).toBeLessThanOrEqual(of("attempt").endMs + 1);
  }
  // Into the sandbox, and to the gateway.
  expect(result.output.stdout).toBe(`payload-word 00-${traceId}-${of("run").spanId}-01\n`);
  const out = published.headers.find(([name]) => name === "traceparent")?.[1].toString();
  expect(out).toBe(`00-${traceId}-${of("publish").spanId}-01`);

  // Without a trace of the caller's, the intake begins one.
  const overHttp = JSON.parse((await serving.submit(shellCall("t-http", "true"), "60s")).body.toString()) as Result;
  const begun = await traceOf(receiver, overHttp.trace_id ?? "none");
  const intake = begun.get("intake");
  expect(intake).toMatchObject({ kind: server, parentSpanId: "" });
  expect(begun.get("attempt")?.parentSpanId).toBe(intake?.spanId);

  for (const word of ["payload-word", "artifact-word", "env-word", "hunter2", "echo"])
    expect([word, receiver.bodies.some((body) => body.includes(word))]).toEqual([word, false]);
  expect((await serving.ask("/metrics")).body.toString()).toContain("tool_executor_spans_dropped 0");
  serving.process.child.kill("SIGTERM");
  expect(await serving.process.ended()).toMatchObject({ code: 0 });
  expect(await toolx.leftovers()).toEqual([]);
});

test.each([
  ["is away", null],
  ["never answers", () => startOtlpReceiver(null)],
] as const)(
  "a collector that %s holds no task up and no end of the server, and what it missed is counted",
  async (_name, start) => {
    await using receiver = start === null ? null : await start();
    await using toolx = await openCli();
    const serving = await startServer(toolx, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver?.url ?? "http://localhost:1" });
    const { body } = await serving.submit(shellCall("t-1", "echo hi"), "60s");
    expect(JSON.parse(body.toString())).toMatchObject({ reason: "ok", output: { stdout: "hi\n" } });
    const isCounted = async (): Promise<boolean> =>
      /^tool_executor_spans_dropped [1-9]/m.test((await serving.ask("/metrics")).body.toString());
    await until("the spans are counted", isCounted, 30_000);
    const endsAt = performance.now() + 10_000;
    serving.process.child.kill("SIGTERM");
    expect(await serving.process.ended()).toMatchObject({ code: 0 });
    expect(performance.now()).toBeLessThan(endsAt);
    expect(await toolx.leftovers()).toEqual([]);
  },
);
