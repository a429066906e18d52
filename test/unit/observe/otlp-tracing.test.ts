import { describe, expect, test } from "vitest";
import { otlpTracing } from "../../../src/observe/otlp-tracing.ts";
import { noTracing, type Tracing } from "../../../src/observe/tracing.ts";
import { startOtlpReceiver } from "../../support/otlp-receiver.ts";
import { until } from "../../support/until.ts";

const bounds = { maxWaiting: 20, delayMs: 10, sendMs: 300, goodbyeMs: 500 };
const trace = "0af7651916cd43dd8448eb211c80319c";
const caller = `00-${trace}-b7ad6b7169203331-01`;

const opened = (endpoint: string, headers = {}): Tracing =>
  otlpTracing({ endpoint, headers, instance: "host:boot:1:2" }, bounds);

const away = async (): Promise<AsyncDisposable & { readonly url: string }> => ({
  url: "http://localhost:1",
  async [Symbol.asyncDispose]() {},
});

function spans(tracing: Tracing, count: number): void {
  for (let each = 0; each < count; each++) tracing.begin("attempt", { parent: caller })[Symbol.dispose]();
}

test("spans arrive under their parents, with what was said of them, and with the headers that were asked for", async () => {
  await using receiver = await startOtlpReceiver();
  {
    await using tracing = opened(`${receiver.url}/`, { "x-token": "a secret" });
    using attempt = tracing.begin("attempt", { parent: caller, attributes: { "tool_executor.attempt": 2 } });
    using run = tracing.begin("run", { parent: attempt.traceparent, kind: "consumer", startedAt: 1_700_000_000_000 });
    run.failed("timeout");
    run[Symbol.dispose]();
    run[Symbol.dispose]();
  }
  const [run, attempt, ...more] = receiver.spans().toSorted((a, b) => b.name.localeCompare(a.name));
  expect(more).toEqual([]);
  expect(attempt).toMatchObject({ name: "attempt", traceId: trace, parentSpanId: "b7ad6b7169203331", failure: null });
  expect(attempt?.attributes).toEqual({ "tool_executor.attempt": 2 });
  expect(run).toMatchObject({ traceId: trace, parentSpanId: attempt?.spanId, kind: 5, failure: "timeout" });
  expect(run?.startMs).toBe(1_700_000_000_000);
  expect(receiver.headers[0]).toMatchObject({ "x-token": "a secret" });
  expect(receiver.bodies.join("")).toContain('"tool-executor"');
  expect(receiver.bodies.join("")).not.toContain("a secret");
});

test("a span without a parent, or with garbage for one, begins a trace of its own", async () => {
  await using receiver = await startOtlpReceiver();
  {
    await using tracing = opened(receiver.url);
    for (const parent of [null, "garbage", "00-zz-zz-01"]) tracing.begin("intake", { parent })[Symbol.dispose]();
  }
  const all = receiver.spans();
  expect(all.map(({ parentSpanId }) => parentSpanId)).toEqual(["", "", ""]);
  expect(new Set(all.map(({ traceId }) => traceId)).size).toBe(3);
});

test("a caller that does not sample is not traced, and what belongs under its span says so", async () => {
  await using receiver = await startOtlpReceiver();
  {
    await using tracing = opened(receiver.url);
    using span = tracing.begin("intake", { parent: `00-${trace}-b7ad6b7169203331-00` });
    expect(span.traceparent).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
    expect(tracing.dropped()).toBe(0);
  }
  expect(receiver.spans()).toEqual([]);
});

describe("a collector that", () => {
  test.each([
    ["is away", away],
    ["refuses", () => startOtlpReceiver(400)],
    ["is overloaded", () => startOtlpReceiver(503)],
    ["never answers", () => startOtlpReceiver(null)],
  ] as const)("%s holds nobody up, and each span that it did not get is counted", async (_name, start) => {
    await using receiver = await start();
    const startedAt = performance.now();
    {
      await using tracing = opened(receiver.url);
      spans(tracing, 50);
      expect(performance.now() - startedAt).toBeLessThan(250);
      // No more than 20 wait.
      expect(tracing.dropped()).toBeGreaterThanOrEqual(30);
      await until("all are counted", () => tracing.dropped() === 50, 10_000);
      spans(tracing, 3);
    }
    expect(performance.now() - startedAt).toBeLessThan(12_000);
  });

  test("comes back gets what comes from then on", async () => {
    await using receiver = await startOtlpReceiver();
    {
      await using tracing = opened(receiver.url);
      spans(tracing, 10);
      await until("the first are there", () => receiver.spans().length === 10, 5000);
      spans(tracing, 10);
      await until("the others are there", () => receiver.spans().length === 20, 5000);
      expect(tracing.dropped()).toBe(0);
    }
  });
});

test("where nothing is traced nothing has a traceparent", () => {
  using span = noTracing.begin("intake", { parent: caller });
  expect(span.traceparent).toBeNull();
  expect(noTracing.dropped()).toBe(0);
});
