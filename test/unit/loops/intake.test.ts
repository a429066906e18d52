import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { diskSpool } from "../../../src/adapters/disk/disk-spool.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { memoryTransport } from "../../../src/adapters/memory/memory-transport.ts";
import { spooledTaskStore } from "../../../src/adapters/wrap/spooled-task-store.ts";
import { drainSpool } from "../../../src/loops/drain-spool.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { Task } from "../../../src/model/task.ts";
import type { TaskStore } from "../../../src/ports/task-store.ts";
import { faultyStore } from "../../support/faulty-store.ts";
import { leaseOne } from "../../support/lease-one.ts";
import { partsWithoutEngine } from "../../support/parts-without-engine.ts";
import { anOwner, never } from "../../support/samples.ts";
import { type ServiceUnderTest, serviceUnderTest } from "../../support/service-under-test.ts";
import { until } from "../../support/until.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const boundMs = 5000;

const call = (id: string, more: object = {}): string =>
  JSON.stringify({ task_id: id, tool_name: "shell", payload: { command: "true" }, ...more });

/** Takes calls in and runs none. */
async function takingIn(store: Partial<TaskStore> = {}, parse?: (body: unknown) => Task) {
  const transport = memoryTransport();
  const inner = memoryTaskStore(clock);
  const { parts, parseTask } = await partsWithoutEngine({ store: { ...inner, ...store } });
  const service: ServiceUnderTest = serviceUnderTest({ parts, parseTask: parse ?? parseTask }, transport, 0);
  return { transport, inner, service, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() };
}

const reasonsOf = (messages: readonly { readonly value: Buffer | null }[]): readonly string[] =>
  messages.map(({ value }) => JSON.parse(value?.toString() ?? "null").reason);

const headerOf = (message: { readonly headers: readonly (readonly [string, Buffer])[] } | undefined, name: string) =>
  message?.headers.find(([each]) => each === name)?.[1].toString();

test("a call is acknowledged when it is stored, and not before", async () => {
  const stored = Promise.withResolvers<void>();
  let asked = false;
  const inner = memoryTaskStore(clock);
  await using at = await takingIn({
    async intake(...call) {
      asked = true;
      await stored.promise;
      return await inner.intake(...call);
    },
  });
  at.transport.offer("tools", { value: call("t-1") });
  await until("the store is asked", () => asked, boundMs);
  expect(at.transport.acknowledged("tools")).toBe("0");
  stored.resolve();
  await until("it is acknowledged", () => at.transport.acknowledged("tools") === "1", boundMs);
  expect(at.service.taken).toEqual(["accepted"]);
});

test("a store that is away is waited for, and nothing is dead", async () => {
  let tries = 0;
  let isAway = true;
  const away = async (): Promise<never> => {
    tries += 1;
    throw new ExecutorError("internal", "the store is away");
  };
  const inner = memoryTaskStore(clock);
  await using at = await takingIn({
    intake: (...call) => (isAway ? away() : inner.intake(...call)),
    list: (...call) => (isAway ? away() : inner.list(...call)),
  });
  at.transport.offer("tools", { value: call("t-1") });
  await until("many tries", () => tries > 12, boundMs);
  expect(at.transport.acknowledged("tools")).toBe("0");
  isAway = false;
  await until("it is taken", () => at.service.taken.length === 1, boundMs);
  expect(at.service.taken).toEqual(["accepted"]);
  expect(at.transport.sent("dead_letters")).toEqual([]);
});

test("G25 a call that finds the queue full is held, refused to nobody, and taken in when there is room", async () => {
  const store = memoryTaskStore(clock, { perTenant: 1, inAll: 10 });
  let full = 0;
  await using at = await takingIn({
    ...store,
    async intake(...call) {
      const intake = await store.intake(...call);
      if (intake.kind === "full") full += 1;
      return intake;
    },
  });
  at.transport.offer("tools", { value: call("first") });
  at.transport.offer("tools", { value: call("second") });
  await until("the first", () => at.service.taken.length === 1, boundMs);
  await until("the second comes again and again", () => full > 5, boundMs);
  expect(at.transport.acknowledged("tools")).toBe("1");
  expect([at.transport.sent("results"), at.transport.sent("dead_letters")]).toEqual([[], []]);
  expect(await leaseOne(store, anOwner(), 1000)).not.toBeNull();
  await until("the second", () => at.service.taken.length === 2, boundMs);
  expect(at.service.taken).toEqual(["accepted", "accepted"]);
});

test("G15 a call that fails each time while the store takes others is dead after the third time, and answered", async () => {
  const inner = memoryTaskStore(clock);
  let tries = 0;
  await using at = await takingIn({
    async intake(task, ...rest) {
      if (task.task_id !== "poison") return await inner.intake(task, ...rest);
      tries += 1;
      throw new ExecutorError("internal", "this one it cannot write");
    },
  });
  at.transport.offer("tools", { key: "k", value: call("poison") });
  at.transport.offer("tools", { value: call("behind") });
  await until("both", () => at.service.taken.length === 2, boundMs);
  expect(at.service.taken).toEqual(["dead_letter", "accepted"]);
  expect(tries).toBe(3);
  expect(reasonsOf(at.transport.sent("results"))).toEqual(["internal"]);
  const [letter] = at.transport.sent("dead_letters");
  expect([letter?.key?.toString(), letter?.value?.toString()]).toEqual(["k", call("poison")]);
  expect(headerOf(letter, "dlq-reason")).toBe("internal");
  // The store has a copy, which is not sent again.
  expect(await at.inner.listLetters({ limit: 10, tenantId: "default" }, never())).toMatchObject([
    {
      key: { tenantId: "default", taskId: "poison" },
      headers: { "dlq-reason": "internal", "dlq-source": "tools/0/0" },
    },
  ]);
  expect(await at.inner.claimOutbox(10, 1000, never())).toEqual([]);
});

test("G15 what makes the reader itself fail is dead at once, and what is behind it goes on", async () => {
  const { parseTask } = await partsWithoutEngine();
  await using at = await takingIn({}, (body) => {
    if (body instanceof Uint8Array && Buffer.from(body).includes("poison")) throw new RangeError("Maximum call stack");
    return parseTask(body);
  });
  at.transport.offer("tools", { value: call("poison") });
  at.transport.offer("tools", { value: call("behind") });
  await until("both", () => at.service.taken.length === 2, boundMs);
  expect(at.service.taken).toEqual(["dead_letter", "accepted"]);
  expect(reasonsOf(at.transport.sent("results"))).toEqual(["internal"]);
});

test("an engine that cannot be asked for a runtime holds the call back, and refuses nothing", async () => {
  const transport = memoryTransport();
  let isAway = true;
  const { parts, parseTask } = await partsWithoutEngine();
  const sandboxes = {
    ...parts.sandboxes,
    async requireRuntime() {
      if (isAway) throw new ExecutorError("sandbox", "the engine does not answer");
    },
  };
  await using service = serviceUnderTest({ parts: { ...parts, sandboxes }, parseTask }, transport, 0);
  transport.offer("tools", { value: call("t-1") });
  transport.offer("control", { value: '{"task_id":"other","action":"cancel"}' });
  await until("the control message", () => service.taken.length === 1, boundMs);
  expect(transport.acknowledged("tools")).toBe("0");
  isAway = false;
  await until("the call", () => service.taken.length === 2, boundMs);
  expect(service.taken).toEqual(["cancel", "accepted"]);
});

test("a store of secrets that is away holds back the calls that name one, however often they are tried, and refuses nothing", async () => {
  const transport = memoryTransport();
  let tries = 0;
  const { parts, parseTask } = await partsWithoutEngine({
    secrets: [
      {
        async find() {
          tries += 1;
          if (tries < 6) throw new ExecutorError("internal", "the secret store is sealed", { away: "secrets" });
          return Buffer.from("s3cr3t-T0ken");
        },
      },
    ],
  });
  await using service = serviceUnderTest({ parts, parseTask }, transport, 0);
  transport.offer("tools", { value: call("t-1", { secrets: [{ name: "API_TOKEN", as: "env" }] }) });
  await until("the call", () => service.taken.length === 1, boundMs);
  expect([tries, service.taken]).toEqual([6, ["accepted"]]);
  expect([...transport.sent("results"), ...transport.sent("dead_letters")]).toEqual([]);
});

test("a refused request gets its metadata back, its trace, and its own id as the key", async () => {
  await using at = await takingIn();
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const headers = [["traceparent", Buffer.from(traceparent)]] as const;
  at.transport.offer("tools", {
    value: call("t-1", { limits: { pids: 0 }, metadata: { correlation_id: "c-1" } }),
    headers,
  });
  const [sent] = await until(
    "the answer",
    () => at.transport.sent("results").length > 0 && at.transport.sent("results"),
    boundMs,
  );
  expect(sent?.key).toBe("t-1");
  expect(headerOf(sent, "traceparent")).toBe(traceparent);
  expect(JSON.parse(sent?.value?.toString() ?? "null")).toMatchObject({
    task_id: "t-1",
    reason: "validation",
    trace_id: "a".repeat(32),
    metadata: { correlation_id: "c-1", traceparent },
    error: { details: [{ path: "/limits/pids" }] },
  });
});

test("metadata that no request may have is not given back", async () => {
  await using at = await takingIn();
  at.transport.offer("tools", { value: call("t-1", { metadata: { big: "x".repeat(20_000) } }) });
  const [sent] = await until(
    "the answer",
    () => at.transport.sent("results").length > 0 && at.transport.sent("results"),
    boundMs,
  );
  expect(JSON.parse(sent?.value?.toString() ?? "null").metadata).toEqual({ tenant_id: "default" });
});

test("two requests that differ in their trace only are the same request", async () => {
  await using at = await takingIn();
  for (const each of ["a", "b"]) {
    const traceparent = `00-${each.repeat(32)}-${each.repeat(16)}-01`;
    at.transport.offer("tools", { value: call("t-1"), headers: [["traceparent", Buffer.from(traceparent)]] });
  }
  await until("both", () => at.service.taken.length === 2, boundMs);
  expect(at.service.taken).toEqual(["accepted", "duplicate"]);
  const record = await at.inner.get({ tenantId: "default", taskId: "t-1" }, never());
  expect(record?.task.metadata).toEqual({ traceparent: `00-${"a".repeat(32)}-${"a".repeat(16)}-01` });
});

describe("a store that is away, with a buffer in front of it", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "intake-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function buffered(fault: "away" | "barred") {
    const faulty = faultyStore(memoryTaskStore(clock));
    const spool = await diskSpool(folder, { maxIntakeBytes: 1_000_000, now: clock.now });
    const quiet = { onKept: () => undefined, onChange: () => undefined, onTrouble: () => undefined };
    const spooled = spooledTaskStore(faulty.store, { intakes: spool, ends: [spool], clock, settleMs: 0, ...quiet });
    const at = await takingIn(spooled.store);
    faulty.set(fault);
    return { ...at, faulty, spool, store: spooled.store };
  }

  const cancel = (task_id: string): string => JSON.stringify({ task_id, action: "cancel" });

  test("calls, refusals and cancels are acknowledged, and come to what they would have come to", async () => {
    await using at = await buffered("away");
    for (const value of [
      call("t-call"),
      call("t-cancelled"),
      call("t-call", { priority: 9 }),
      call("t-wrong", { priority: "high" }),
      call("t-call", { priority: "high" }),
      "no JSON",
    ])
      at.transport.offer("tools", { key: "k", value });
    await until("the calls", () => at.service.taken.length === 6, boundMs);
    at.transport.offer("control", { value: cancel("t-cancelled") });
    await until("all", () => at.service.taken.length === 7, boundMs);
    expect(at.service.taken).toEqual([
      "accepted",
      "accepted",
      "dead_letter",
      "refused",
      "refused",
      "dead_letter",
      "cancel",
    ]);
    expect([at.transport.acknowledged("tools"), at.transport.acknowledged("control")]).toEqual(["6", "1"]);
    // What needs no store has its answer already.
    const letters = () => at.transport.sent("dead_letters").map((letter) => headerOf(letter, "dlq-reason"));
    expect(letters()).toEqual(["conflict", "validation"]);
    expect(at.transport.sent("results").map(({ key }) => key)).toEqual([null]);

    at.faulty.set(null);
    await drainSpool({ store: at.faulty.store, spool: at.spool, clock, onDrained: () => undefined }, never());
    const results = () => at.transport.sent("results").map(({ key, value }) => [key, reasonsOf([{ value }])[0]]);
    await until("the answers", () => results().length >= 3 && letters().length >= 3, boundMs);
    expect(results()).toEqual([
      [null, "validation"],
      ["t-wrong", "validation"],
      ["t-cancelled", "cancelled"],
    ]);
    // The second under a known name: its own answer is to come.
    expect(letters()).toEqual(["conflict", "validation", "conflict"]);
    const letter = at.transport.sent("dead_letters").at(-1);
    expect(headerOf(letter, "dlq-source")).toBe("tools/0/4");
    expect(letter?.value?.toString()).toBe(call("t-call", { priority: "high" }));
    expect(await at.faulty.store.get({ tenantId: "default", taskId: "t-call" }, never())).toMatchObject({
      state: "QUEUED",
    });
  });

  test("one that bars us has its messages held: somebody has to mend it, and they are safe where they are", async () => {
    await using at = await buffered("barred");
    at.transport.offer("tools", { value: call("t-1") });
    at.transport.offer("control", { value: cancel("t-1") });
    await until("they come again and again", () => at.faulty.calls.length > 10, boundMs);
    expect([at.transport.acknowledged("tools"), at.transport.acknowledged("control")]).toEqual(["0", "0"]);
    at.faulty.set(null);
    await leaseOne(at.store, anOwner(), 1000);
    await until("both", () => at.service.taken.length === 2, boundMs);
    expect([...at.service.taken].sort()).toEqual(["accepted", "cancel"]);
  });
});
