import { expect, test } from "vitest";
import { memoryTransport } from "../../../src/adapters/memory/memory-transport.ts";
import { progressReporter } from "../../../src/loops/progress.ts";
import type { Transport } from "../../../src/ports/transport.ts";
import { handClock } from "../../support/samples.ts";

const key = { tenantId: "acme", taskId: "t-1" };
const stopped = AbortSignal.abort(new Error("told to stop"));

const told = (transport: ReturnType<typeof memoryTransport>) =>
  transport.sent("progress").map(({ value }) => JSON.parse(value?.toString() ?? "null"));

test("of what a task says of itself the latest goes, in its place", async () => {
  const transport = memoryTransport();
  const reporter = progressReporter(transport, handClock());
  reporter.report(key, { event: "queued" });
  for (let step = 0; step <= 100_000; step++)
    reporter.watch(key, { kind: "progress", progress: { progress: step / 100_000, message: null } });
  await reporter.run(stopped);
  expect(told(transport)).toEqual([
    { schema_version: 1, task_id: "t-1", tenant_id: "acme", event: "queued", at: "2026-01-01T00:00:00.000Z" },
    expect.objectContaining({ event: "progress", progress: 1, message: null }),
  ]);
  expect(reporter.dropped()).toBe(0);
});

test("what is too much is left out and counted", async () => {
  const transport = memoryTransport();
  const reporter = progressReporter(transport, handClock());
  for (let index = 0; index < 2500; index++) reporter.report({ ...key, taskId: `t-${index}` }, { event: "queued" });
  await reporter.run(stopped);
  expect(told(transport)).toHaveLength(2000);
  expect(reporter.dropped()).toBe(500);
});

test("a transport that takes nothing holds nobody up", async () => {
  const away: Transport = {
    ...memoryTransport(),
    publish: async () => {
      throw new Error("away");
    },
  };
  const reporter = progressReporter(away, handClock());
  reporter.report(key, { event: "queued" });
  await reporter.run(stopped);
  expect(reporter.dropped()).toBe(1);
});
