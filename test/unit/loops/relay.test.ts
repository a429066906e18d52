import { expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { type MemoryTransport, memoryTransport } from "../../../src/adapters/memory/memory-transport.ts";
import { bell } from "../../../src/loops/bell.ts";
import { relay } from "../../../src/loops/relay.ts";
import { ExecutorError, type Reason } from "../../../src/model/failure.ts";
import { noTracing } from "../../../src/observe/tracing.ts";
import type { ObjectStore } from "../../../src/ports/object-store.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { requestSha256 } from "../../../src/schema/canonical.ts";
import { encodeResult } from "../../../src/schema/encode-result.ts";
import { resultSchema } from "../../../src/schema/result-schema.ts";
import { validator } from "../../../src/schema/validator.ts";
import { anOwner, aResult, aTask, never } from "../../support/samples.ts";
import { until } from "../../support/until.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const boundMs = 5000;

/** A task that has ended, and answers its result's bytes. */
async function ended(store: TaskStore, taskId: string, reason: Reason = "ok", stdout = ""): Promise<Buffer> {
  const task = aTask({ task_id: taskId });
  await store.intake(task, requestSha256(task), never());
  const attempt = await store.leaseTask({ tenantId: "acme", taskId }, anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  const sample = aResult();
  const result = aResult({
    task_id: taskId,
    reason,
    status: reason === "ok" ? "success" : "failed",
    output: { ...sample.output, stdout, stdout_bytes: stdout.length },
  });
  const bytes = encodeResult(result);
  await store.finish(attempt, result, bytes, never());
  return bytes;
}

function relaying(store: TaskStore, transport: MemoryTransport, objects: ObjectStore = memoryObjectStore()) {
  const stop = new AbortController();
  const troubles: unknown[] = [];
  const rings = bell();
  const ports = { store, objects, transport, clock, tracing: noTracing, bell: rings };
  const heard = { onSent: () => undefined, onPublished: () => undefined };
  const done = relay({ ...ports, ...heard, onTrouble: (_what, error) => troubles.push(error) }, stop.signal);
  return {
    troubles,
    objects,
    rings,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await done;
    },
  };
}

test("sends results as they are stored, and never again", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport()];
  const bytes = [await ended(store, "t-1"), await ended(store, "t-2")];
  {
    await using _relay = relaying(store, transport);
    await until("both", () => transport.sent("results").length === 2, boundMs);
  }
  await using _again = relaying(store, transport);
  await ended(store, "t-3");
  await until("the third", () => transport.sent("results").length >= 3, boundMs);
  expect(transport.sent("results").map(({ key }) => key)).toEqual(["t-1", "t-2", "t-3"]);
  expect(
    transport
      .sent("results")
      .slice(0, 2)
      .map(({ value }) => value),
  ).toEqual(bytes);
  expect(await store.outboxAgeMs(never())).toBeNull();
});

test("what was sent and not marked is sent again, the same bytes", async () => {
  const [inner, transport] = [memoryTaskStore(clock), memoryTransport()];
  await ended(inner, "t-1");
  let dies = true;
  const store: TaskStore = {
    ...inner,
    async markPublished(...call) {
      if (dies) throw new ExecutorError("internal", "the store is away");
      await inner.markPublished(...call);
    },
  };
  await using _relay = relaying(store, transport);
  await until("it is sent twice", () => transport.sent("results").length === 2, boundMs);
  dies = false;
  await until("it is marked", async () => (await inner.outboxAgeMs(never())) === null, boundMs);
  const copies = new Set(transport.sent("results").map(({ value, headers }) => JSON.stringify([value, headers])));
  expect(copies.size).toBe(1);
});

test("a result that is too large is sent by reference, always the same, and nothing waits behind it", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport(4096)];
  const bytes = await ended(store, "large", "ok", "x".repeat(10_000));
  await ended(store, "small");
  await using at = relaying(store, transport);
  await until("both", () => transport.sent("results").length === 2, boundMs);
  await store.republish({ tenantId: "acme", taskId: "large" }, never());
  at.rings.ring();
  await until("again", () => transport.sent("results").length === 3, boundMs);
  const [first, , again] = transport.sent("results");
  expect(again).toEqual(first);
  const sent = validator<{ readonly result_object: string }>(resultSchema, {
    subject: "result",
    at: "",
    code: "internal",
  })(JSON.parse(first?.value?.toString() ?? "null"));
  expect(sent).toMatchObject({ task_id: "large", reason: "ok", output: { stdout: "", stdout_bytes: 10_000 } });
  expect(sent.result_object).toBe("tasks/acme/large/1/result.json");
  const kept: Uint8Array[] = [];
  for await (const chunk of (await at.objects.get(sent.result_object, never())) ?? []) kept.push(Buffer.from(chunk));
  expect(Buffer.concat(kept)).toEqual(bytes);
});

test("what cannot be made ready comes later, and nothing waits for it", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport(4096)];
  let isAway = true;
  const inner = memoryObjectStore();
  const objects: ObjectStore = {
    ...inner,
    async put(...call) {
      if (isAway) throw new ExecutorError("internal", "the object store is away");
      return await inner.put(...call);
    },
  };
  await ended(store, "large", "ok", "x".repeat(10_000));
  await ended(store, "small");
  await using at = relaying(store, transport, objects);
  await until("the small one", () => transport.sent("results").length === 1, boundMs);
  expect(transport.sent("results")[0]?.key).toBe("small");
  isAway = false;
  await until("the large one", () => transport.sent("results").length === 2, boundMs);
  expect(at.troubles).not.toEqual([]);
});

test("a task that came to nothing is a result and a dead letter that says why", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport()];
  await ended(store, "t-1", "sandbox");
  await using _relay = relaying(store, transport);
  await until("both", () => transport.sent("dead_letters").length + transport.sent("results").length === 2, boundMs);
  const [letter] = transport.sent("dead_letters");
  const headers = Object.fromEntries((letter?.headers ?? []).map(([name, value]) => [name, value.toString()]));
  expect(headers).toMatchObject({ "dlq-reason": "sandbox", "dlq-stage": "execute", "dlq-source": "acme/t-1" });
  expect(JSON.parse(letter?.value?.toString() ?? "null")).toMatchObject({ task_id: "t-1", tool_name: "shell" });
  expect(letter?.key).toBe("t-1");
});

test("one that is told to stop sends what is there before it ends", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport()];
  {
    await using _relay = relaying(store, transport);
    await ended(store, "t-1");
  }
  expect(transport.sent("results")).toHaveLength(1);
});

test("one that is told to stop in the middle of a send ends it, and marks it", async () => {
  const [store, transport] = [memoryTaskStore(clock), memoryTransport()];
  await ended(store, "t-1");
  const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow: MemoryTransport = {
    ...transport,
    async publish(...call) {
      begun.resolve();
      await goOn.promise;
      await transport.publish(...call);
    },
  };
  {
    await using _relay = relaying(store, slow);
    await begun.promise;
    // It is told to stop before the send may go on.
    queueMicrotask(() => setImmediate(goOn.resolve));
  }
  expect(transport.sent("results")).toHaveLength(1);
  expect(await store.outboxAgeMs(never())).toBeNull();
});
