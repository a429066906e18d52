import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import { CompressionCodecs, CompressionTypes } from "kafkajs";
import { describe, expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { bombOf } from "../support/batch-bomb.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { type TestHouse, testHouse } from "../support/house.ts";
import {
  type Heard,
  type KafkaEnds,
  kafkaEnds,
  type Listening,
  type Offered,
  type Offset,
} from "../support/kafka-ends.ts";
import { never } from "../support/samples.ts";
import { type ServiceUnderTest, serviceUnderTest } from "../support/service-under-test.ts";
import { startKafka } from "../support/services.ts";
import { until } from "../support/until.ts";

/** A broker that takes more than we do. */
const broker = forThisFile(() =>
  startKafka(
    "kafka",
    [
      "message.max.bytes=32000000",
      "replica.fetch.max.bytes=32000000",
      `log.message.timestamp.after.max.ms=${2n ** 63n - 1n}`,
    ].join("\n"),
  ),
);
const boundMs = 60_000;

interface Ground extends AsyncDisposable {
  readonly house: TestHouse;
  readonly ends: KafkaEnds;
  readonly gateway: Listening;
  readonly service: ServiceUnderTest;
}

/** One service for all rows: what one of them breaks, the next one meets. */
const ground = forThisFile<Ground>(async () => {
  await using stack = new AsyncDisposableStack();
  const house = stack.use(await testHouse());
  const ends = stack.use(await kafkaEnds(broker().broker));
  const service = stack.use(serviceUnderTest(house, ends.open()));
  const gateway = stack.use(await ends.listen("results", "dead_letters"));
  const held = stack.move();
  return { house, ends, gateway, service, [Symbol.asyncDispose]: () => held.disposeAsync() };
});

let serial = 0;
const freshKey = (row: string): string => `${row}-${++serial}`;

const letters = (key: string): readonly Heard[] =>
  ground().gateway.heard.filter((each) => each.channel === "dead_letters" && each.key === key);

const results = (holds: (result: Result) => boolean): readonly (Heard & { readonly result: Result })[] =>
  ground()
    .gateway.heard.filter(({ channel }) => channel === "results")
    .map((each) => ({ ...each, result: JSON.parse(each.value?.toString() ?? "null") as Result }))
    .filter(({ result }) => holds(result));

const resultOf = (taskId: string): Promise<Heard & { readonly result: Result }> =>
  until(`the result of ${taskId}`, () => results(({ task_id }) => task_id === taskId)[0], boundMs);

/** The partition goes on: what comes behind is answered. */
async function moveOn(key: string): Promise<void> {
  const id = freshKey("after");
  await ground().ends.offer("tools", { key, value: call(id, { tool_name: "no_such_tool" }) });
  expect((await resultOf(id)).result.reason).toBe("unknown_tool");
}

const call = (id: string, more: object = {}): string =>
  JSON.stringify({ task_id: id, tool_name: "shell", payload: { command: "true" }, ...more });

const isAt =
  ({ partition, offset }: Offset) =>
  ({ metadata }: Result): boolean => {
    const source = metadata.source as { readonly partition?: number; readonly offset?: string } | undefined;
    return source?.partition === partition && source.offset === offset;
  };

/** Sends what names no task; answers its letter and what its sender is told. */
async function sendUnknown(
  row: string,
  message: Offered,
): Promise<{ readonly letter: Heard; readonly result: Result }> {
  const key = freshKey(row);
  const offset = await ground().ends.offer("tools", { key, ...message });
  const told = await until("the sender is told", () => results(isAt(offset))[0], boundMs);
  const letter = await until("the letter", () => letters(key)[0], boundMs);
  const { topics } = ground().ends.settings;
  expect(letter.headers).toMatchObject({
    "dlq-reason": "validation",
    "dlq-stage": "intake",
    "dlq-attempts": "1",
    "dlq-source": `${topics.tools}/${offset.partition}/${offset.offset}`,
    "dlq-first-seen": expect.stringMatching(/^20\d\d-/),
  });
  expect(told).toMatchObject({ key: null, result: { task_id: null, reason: "validation", status: "failed" } });
  await moveOn(key);
  expect(letters(key)).toHaveLength(1);
  expect(results(isAt(offset))).toHaveLength(1);
  return { letter, result: told.result };
}

/** Sends a call that is refused, and answered by its id. */
async function sendRefused(row: string, more: object): Promise<Result> {
  const id = freshKey(row);
  await ground().ends.offer("tools", { key: id, value: typeof more === "string" ? more : call(id, more) });
  const { result } = await resultOf(id);
  await moveOn(id);
  expect(letters(id)).toEqual([]);
  expect(await ground().house.parts.store.get({ tenantId: "default", taskId: id }, never())).toBeNull();
  return result;
}

test.each<[string, Buffer]>([
  ["not json", Buffer.from("not json")],
  ["a byte that is no UTF-8", Buffer.from([0xff])],
  ["nothing at all", Buffer.alloc(0)],
  ["a byte order mark", Buffer.from(`\ufeff${call("bom")}`)],
  ["null", Buffer.from("null")],
  ["[]", Buffer.from("[]")],
  ['"x"', Buffer.from('"x"')],
])("G1 a value that is %s", async (_name, value) => {
  const { letter } = await sendUnknown("G1", { value, headers: [["from", Buffer.from("nowhere")]] });
  expect(letter.value).toEqual(value);
  expect(letter.headers.from).toBe("nowhere");
});

test("G1 a time that no calendar has", async () => {
  const { letter } = await sendUnknown("G1", { value: "not json", timestamp: `${2n ** 63n - 1n}` });
  expect(Date.parse(letter.headers["dlq-first-seen"] ?? "")).toBeLessThan(Date.now() + 60_000);
});

test.each([["with"], ["without"]])("G2 a tombstone %s a key", async (way) => {
  const before = ground().gateway.heard.length;
  const tombstones = () => ground().service.taken.filter((each) => each === "tombstone").length;
  const count = tombstones();
  await ground().ends.offer("tools", { key: way === "with" ? freshKey("G2") : null, value: null });
  await until("it is counted", () => tombstones() === count + 1, boundMs);
  expect(ground().gateway.heard.length).toBe(before);
});

describe("G3", () => {
  test("10 MB are refused before they are looked into, and kept by reference", async () => {
    const value = Buffer.from(call("G3-large", { stdin: "x".repeat(10_000_000) }));
    const { letter, result } = await sendUnknown("G3", { value });
    expect(result.error?.message).toBe(`request is ${value.length} bytes long, at most 8388608`);
    const reference = JSON.parse(letter.value?.toString() ?? "null");
    const sha256 = createHash("sha256").update(value).digest("hex");
    expect(reference).toEqual({ object: letter.headers["dlq-object"], size_bytes: value.length, sha256 });
    const kept = (await ground().house.parts.objects.get(reference.object, never())) ?? (async function* () {})();
    expect(
      createHash("sha256")
        .update(await text(kept))
        .digest("hex"),
    ).toBe(sha256);
  });

  test.each([-1, 0, 1])("1 MiB and %i bytes are a call like any other", async (more) => {
    const id = freshKey("G3");
    const bare = call(id, { stdin: "" }).length;
    await ground().ends.offer("tools", { value: call(id, { stdin: "x".repeat(1024 * 1024 + more - bare) }) });
    expect((await resultOf(id)).result.reason).toBe("ok");
  });
});

describe("G4", () => {
  test("100,000 nested arrays", async () => {
    const deep = `{"task_id":"deep","tool_name":"shell","payload":{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}}`;
    const { result } = await sendUnknown("G4", { value: deep });
    expect(result.error?.message).toBe("request is nested deeper than 64 levels");
  });

  test("half a million members", async () => {
    const members = Array.from({ length: 500_000 }, (_, index) => `"k${index}":1`).join(",");
    const { result } = await sendUnknown("G4", { value: `{"task_id":"wide","payload":{${members}}}` });
    expect(result.error?.message).toBe("request has more than 100000 values");
  });

  test("a text of 5 MB is a call like any other", async () => {
    const id = freshKey("G4");
    await ground().ends.offer("tools", { value: call(id, { stdin: "x".repeat(5_000_000) }) });
    expect((await resultOf(id)).result.reason).toBe("ok");
  });
});

test.each<[string, (id: string) => string, string]>([
  ["1e400", (id) => `{"task_id":"${id}","tool_name":"shell","payload":{"a":1e400}}`, "/payload/a"],
  ["-0", (id) => `{"task_id":"${id}","tool_name":"shell","payload":{"a":-0}}`, "/payload/a"],
  ["2^53+1", (id) => `{"task_id":"${id}","tool_name":"shell","payload":{"a":9007199254740993}}`, "/payload/a"],
  ['"10"', (id) => call(id, { limits: { timeout_seconds: "10" } }), "/limits/timeout_seconds"],
  ["1.5 for an integer", (id) => call(id, { limits: { pids: 1.5 } }), "/limits/pids"],
])("G6 the number %s", async (_name, value, path) => {
  const id = freshKey("G6");
  await ground().ends.offer("tools", { key: id, value: value(id) });
  const { result } = await resultOf(id);
  expect(result).toMatchObject({ reason: "validation", error: { details: [{ path }] } });
  expect(letters(id)).toEqual([]);
});

test.each<[string, object, string]>([
  ["an unknown field", { priorty: 1 }, "/priorty"],
  ["schema_version 99", { schema_version: 99 }, "/schema_version"],
  ["a missing field", { payload: undefined }, "/payload"],
])("G7 %s", async (_name, more, path) => {
  const result = await sendRefused("G7", more);
  expect(result.reason).toBe("validation");
  expect(result.error?.details.map((each) => each.path)).toEqual([path]);
});

test.each(["", "x".repeat(10_000), "../../x", "a b", "🙂", "\u0000", "';--", "-leading"])(
  "G8 the id %j",
  async (id) => {
    await sendUnknown("G8", { value: call(id) });
  },
);

test("G8 upper and lower case are two ids", async () => {
  const id = freshKey("G8");
  for (const each of [id.toUpperCase(), id.toLowerCase()]) await ground().ends.offer("tools", { value: call(each) });
  expect((await resultOf(id.toUpperCase())).result.task_id).not.toBe((await resultOf(id.toLowerCase())).result.task_id);
});

test.each<[string, object]>([
  ["another request", { payload: { command: "false" } }],
  ["one that is refused", { nonsense: true }],
])("G10 a known id with %s", async (_name, more) => {
  const id = freshKey("G10");
  await ground().ends.offer("tools", { key: id, value: call(id) });
  const first = await resultOf(id);
  await ground().ends.offer("tools", { key: id, value: call(id, more) });
  const letter = await until("the letter", () => letters(id)[0], boundMs);
  expect(letter.headers["dlq-reason"]).toBe("conflict");
  expect(letter.value?.toString()).toBe(call(id, more));
  // The first request again, and nothing but the first answer is heard.
  await ground().ends.offer("tools", { key: id, value: call(id) });
  const answers = () => results(({ task_id }) => task_id === id);
  await until("the answer again", () => answers().length === 2, boundMs);
  expect(answers().map(({ value }) => value?.equals(first.value ?? Buffer.alloc(0)))).toEqual([true, true]);
});

describe("G12", () => {
  const cancel = (key: string, taskId: string, more: object = {}): Promise<Offset> =>
    ground().ends.offer("control", { key, value: JSON.stringify({ task_id: taskId, action: "cancel", ...more }) });
  const cancels = (): number => ground().service.taken.filter((each) => each === "cancel").length;

  test("a cancel that overtakes its task, twice", async () => {
    const id = freshKey("G12");
    const before = cancels();
    await cancel(id, id);
    await cancel(id, id);
    await until("both", () => cancels() === before + 2, boundMs);
    await ground().ends.offer("tools", { value: call(id, { payload: { command: "sleep 60" } }) });
    expect((await resultOf(id)).result.reason).toBe("cancelled");
  });

  test("a cancel of a task that runs ends it", async () => {
    const id = freshKey("G12");
    await ground().ends.offer("tools", { value: call(id, { payload: { command: "sleep 60" } }) });
    await until(
      "it runs",
      async () => {
        const record = await ground().house.parts.store.get({ tenantId: "default", taskId: id }, never());
        return record?.state === "RUNNING";
      },
      boundMs,
    );
    await cancel(id, id);
    expect((await resultOf(id)).result.reason).toBe("cancelled");
  });

  test("a cancel after the end, of another tenant, of nobody: nothing happens", async () => {
    const id = freshKey("G12");
    await ground().ends.offer("tools", { value: call(id) });
    const first = await resultOf(id);
    const before = cancels();
    await cancel(id, id);
    await cancel(id, id, { tenant_id: "other" });
    await cancel(id, "nobody");
    await until("all three", () => cancels() === before + 3, boundMs);
    const record = await ground().house.parts.store.get({ tenantId: "default", taskId: id }, never());
    expect(record?.resultBytes?.equals(first.value ?? Buffer.alloc(0))).toBe(true);
    expect(results(({ task_id }) => task_id === id)).toHaveLength(1);
  });

  test("a wish that is none is a dead letter, and nobody is told a result", async () => {
    const key = freshKey("G12");
    const before = results(() => true).length;
    await ground().ends.offer("control", { key, value: '{"task_id":"t-1","action":"explode"}' });
    const letter = await until("the letter", () => letters(key)[0], boundMs);
    expect(letter.headers["dlq-reason"]).toBe("validation");
    expect(results(() => true)).toHaveLength(before);
  });
});

describe("G13", () => {
  test("not before ten years from now", async () => {
    const result = await sendRefused("G13", { not_before: "2126-01-01T00:00:00Z" });
    expect(result).toMatchObject({ reason: "validation", error: { details: [{ path: "/not_before" }] } });
  });

  test("expired before it came", async () => {
    const id = freshKey("G13");
    await ground().ends.offer("tools", { value: call(id, { expires_at: "2020-01-01T00:00:00Z" }) });
    expect((await resultOf(id)).result).toMatchObject({ reason: "expired", sandbox: null });
  });

  test("a timestamp of ten years from now is the sender's own business", async () => {
    const id = freshKey("G13");
    await ground().ends.offer("tools", { value: call(id, { metadata: { timestamp: "2126-01-01T00:00:00Z" } }) });
    expect((await resultOf(id)).result.reason).toBe("ok");
  });
});

test.each([
  ["gzip", CompressionTypes.GZIP, 1024],
  ["snappy", CompressionTypes.Snappy, 64],
  ["lz4", CompressionTypes.LZ4, 256],
  ["zstd", CompressionTypes.ZSTD, 1024],
] as const)("G14 a batch of %s that would unpack to more than memory is for", async (codec, compression, megabytes) => {
  const { ends, service } = ground();
  const bomb = await bombOf(codec, megabytes * 1024 * 1024);
  expect(bomb.length).toBeLessThan(4 * 1024 * 1024);
  const before = CompressionCodecs[compression];
  // What the client would pack is not what is sent.
  CompressionCodecs[compression] = () => ({ compress: async () => bomb, decompress: async () => Buffer.alloc(0) });
  const producer = ends.kafka.producer();
  await producer.connect();
  const topic = ends.settings.topics.tools;
  const taken = service.taken.length;
  const rssBefore = process.memoryUsage.rss();
  let rssPeak = rssBefore;
  const watching = setInterval(() => {
    rssPeak = Math.max(rssPeak, process.memoryUsage.rss());
  }, 5);
  try {
    const [put] = await producer.send({ topic, compression, messages: [{ partition: 0, value: "x" }] });
    await until("it is dealt with", () => service.taken.length > taken, boundMs);
    const place = `${topic}/0/${put?.baseOffset}`;
    const letter = await until(
      "its letter",
      () => ground().gateway.heard.find(({ headers }) => headers["dlq-source"] === place),
      boundMs,
    );
    expect(JSON.parse(letter.value?.toString() ?? "null")).toEqual({
      unreadable: `a ${codec} batch becomes more than 33554432 bytes`,
    });
    expect(letter.headers["dlq-reason"]).toBe("validation");
    const told = await until(
      "the sender is told",
      () => results(isAt({ partition: 0, offset: put?.baseOffset ?? "" }))[0],
      boundMs,
    );
    expect(told.result).toMatchObject({ task_id: null, metadata: { source: { topic, last_offset: put?.baseOffset } } });
    const id = freshKey("G14");
    await producer.send({ topic, messages: [{ partition: 0, value: call(id, { tool_name: "no_such_tool" }) }] });
    expect((await resultOf(id)).result.reason).toBe("unknown_tool");
    expect(rssPeak - rssBefore).toBeLessThan(160 * 1024 * 1024);
  } finally {
    clearInterval(watching);
    CompressionCodecs[compression] = before;
    await producer.disconnect();
  }
});

describe("G16", () => {
  const answered = async (message: Offered & { readonly id: string }): Promise<Heard & { readonly result: Result }> => {
    await ground().ends.offer("tools", { ...message, value: call(message.id, { tool_name: "no_such_tool" }) });
    return await resultOf(message.id);
  };

  test("a flood of headers", async () => {
    const headers = Array.from({ length: 20_000 }, (_, index) => [`h${index}`, Buffer.from("x")] as const);
    await answered({ id: freshKey("G16"), value: null, headers });
  });

  test("a key that is of no use", async () => {
    await answered({ id: freshKey("G16"), value: null, key: "\u0000".repeat(1000) });
  });

  test.each(["", "garbage", "00-00000000000000000000000000000000-0000000000000000-01", "ff-".padEnd(55, "a")])(
    "the traceparent %j",
    async (traceparent) => {
      const headers = [["traceparent", Buffer.from(traceparent)]] as const;
      const { result, headers: out } = await answered({ id: freshKey("G16"), value: null, headers });
      expect(result.trace_id).toBeNull();
      expect(out.traceparent).toBeUndefined();
    },
  );

  test("no traceparent", async () => {
    expect((await answered({ id: freshKey("G16"), value: null })).result.trace_id).toBeNull();
  });
});

test.each(["evil.example/x", "x:latest", "localhost:5000/x", `x@sha256:${"0".repeat(64)}`, "--privileged", "../x"])(
  "G17 the image %s",
  async (image) => {
    expect(await sendRefused("G17", { image })).toMatchObject({
      reason: "policy_denied",
      error: { message: expect.stringMatching(/^image ".*" is not allowed; allowed: shell, python, node$/) },
    });
  },
);

test.each<[object, string]>([
  [{ privileged: true }, "/privileged"],
  [{ mounts: ["/:/host"] }, "/mounts"],
  [{ network: "host" }, "/network"],
  [{ cap_add: ["ALL"] }, "/cap_add"],
  [{ devices: ["/dev/kvm"] }, "/devices"],
  [{ pid: "host" }, "/pid"],
])("G18 the field %j", async (more, path) => {
  const result = await sendRefused("G18", more);
  expect(result.reason).toBe("validation");
  expect(result.error?.details.map((each) => each.path)).toEqual([path]);
});

test("G18 a runtime with an argument", async () => {
  expect((await sendRefused("G18", { runtime: "runc --x" })).reason).toBe("policy_denied");
});

test.each<[string, object]>([
  ["A=B", { "A=B": "x" }],
  ["a line end", { "A\n": "x" }],
  ["nothing", { "": "x" }],
  ["50,000 of them", Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`V${index}`, "x"]))],
])("G20 a variable named %s", async (_name, env) => {
  expect((await sendRefused("G20", { env })).reason).toBe("validation");
});

test("G22 secrets are refused by name until they are built", async () => {
  expect((await sendRefused("G22", { secrets: [{ name: "../*", as: "env" }] })).reason).toBe("policy_denied");
});

test("G23 a callback to a host that no setting names is refused", async () => {
  const { reason, error } = await sendRefused("G23", { callback_url: "http://169.254.169.254/" });
  expect(reason).toBe("policy_denied");
  expect(error?.message).toContain("leads to http://169.254.169.254:80, where no callbacks may go; allowed: none here");
});
