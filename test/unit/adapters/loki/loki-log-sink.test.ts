import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { expect, test } from "vitest";
import { parseLokiUrl, shownLokiUrl } from "../../../../src/adapters/loki/loki-address.ts";
import { defaultLokiLogSinkOptions, lokiLogSink } from "../../../../src/adapters/loki/loki-log-sink.ts";
import type { Attempt } from "../../../../src/model/attempt.ts";
import type { LogEntry } from "../../../../src/ports/log-sink.ts";
import { anOwner } from "../../../support/samples.ts";
import { until } from "../../../support/until.ts";

const options = { ...defaultLokiLogSinkOptions, lingerMs: 10, retryMs: 5, maxRetryMs: 20, disposeMs: 500 };
const attempt = (taskId = "t-1"): Attempt => ({ key: { tenantId: "acme", taskId }, number: 2, owner: anOwner() });
const output = (seq: number, bytes: Buffer | string, stream: "stdout" | "stderr" = "stdout"): LogEntry => ({
  ...{ kind: "output", seq, atMs: 1_767_225_600_000, stream },
  bytes: Buffer.from(bytes),
});

interface Stream {
  readonly stream: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [string, string, Readonly<Record<string, string>>])[];
}

/** Takes pushes as Loki does; `status` answers the next. */
async function fakeLoki(status: () => number = () => 204) {
  const streams: Stream[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, answer) => {
    const body = (await json(request)) as { streams: Stream[] };
    headers.push(request.headers);
    const code = status();
    if (code === 204) streams.push(...body.streams);
    answer.writeHead(code).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, authorization: null };
  return {
    ...{ address, streams, headers },
    lines: () => streams.flatMap(({ values }) => values.map(([, line]) => line)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test("each line goes under labels that no task can make many of, with its place as metadata and a time of its own", async () => {
  await using loki = await fakeLoki();
  {
    await using sink = lokiLogSink(loki.address, options);
    sink.write(attempt(), [output(1, "same\nsame\nha"), output(2, "lf\n"), output(3, "wrong\n", "stderr")], "shell");
    await until("the lines", () => loki.lines().length === 4, 5000);
  }
  const labels = { app: "tool-executor", host: "aa", tool: "shell" };
  expect(loki.streams.map(({ stream }) => stream)).toEqual([
    { ...labels, stream: "stdout" },
    { ...labels, stream: "stderr" },
  ]);
  expect(loki.lines()).toEqual(["same", "same", "half", "wrong"]);
  const values = loki.streams.flatMap(({ values }) => values);
  const place = { tenant_id: "acme", task_id: "t-1", attempt: "2" };
  expect(values.map(([, , metadata]) => metadata)).toEqual(["1", "1", "2", "3"].map((seq) => ({ ...place, seq })));
  const times = values.map(([at]) => BigInt(at));
  expect(new Set(times).size).toBe(4);
  for (const at of times) expect(at / 1_000_000n).toBe(1_767_225_600_000n);
});

test("a line without an end is sent after a while, while its task goes on", async () => {
  await using loki = await fakeLoki();
  await using sink = lokiLogSink(loki.address, options);
  sink.write(attempt(), [output(1, "name? ")], "shell");
  await until("the prompt", () => loki.lines().includes("name? "), 5000);
});

test("what is written last is there after dispose, ends of lines or not", async () => {
  await using loki = await fakeLoki();
  {
    await using sink = lokiLogSink(loki.address, { ...options, lingerMs: 60_000 });
    sink.write(attempt(), [output(1, "one\ntwo")], "shell");
    sink.write(attempt(), [{ kind: "gap", from: 2, to: 9, bytes: 700 }], "shell");
  }
  expect(loki.lines().sort()).toEqual(["[tool-executor] 700 bytes of output are missing here", "one", "two"]);
});

test.each([429, 500, 503])(
  "a server that answers %i is tried again until it takes the lines, each once",
  async (code) => {
    let refusals = 3;
    await using loki = await fakeLoki(() => (refusals-- > 0 ? code : 204));
    await using sink = lokiLogSink(loki.address, options);
    sink.write(attempt(), [output(1, "one\ntwo\n")], "shell");
    await until("the lines", () => loki.lines().length > 0, 5000);
    expect(loki.lines()).toEqual(["one", "two"]);
    expect(sink.dropped()).toBe(0);
  },
);

test("lines that Loki will never take are dropped, counted and told, and hold nothing up", async () => {
  let refusals = 1;
  await using loki = await fakeLoki(() => (refusals-- > 0 ? 400 : 204));
  await using sink = lokiLogSink(loki.address, options);
  sink.write(attempt(), [output(1, "one\ntwo\n")], "shell");
  await until("what is told", () => loki.lines().length > 0, 5000);
  expect(loki.lines()).toEqual(["[tool-executor] 2 lines (6 bytes) were dropped here"]);
  sink.write(attempt(), [output(2, "three\n")], "shell");
  await until("the next line", () => loki.lines().includes("three"), 5000);
  expect(sink.dropped()).toBe(2);
});

test("while Loki is away memory is bounded, and afterwards each hole says how many lines it is", async () => {
  let isAway = true;
  await using loki = await fakeLoki(() => (isAway ? 503 : 204));
  await using sink = lokiLogSink(loki.address, { ...options, maxWaitingBytes: 100_000 });
  const writes = 10_000;
  for (let seq = 1; seq <= writes; seq++) sink.write(attempt(`t-${seq % 3}`), [output(seq, `line ${seq}\n`)], "shell");
  const dropped = sink.dropped();
  expect(dropped).toBeGreaterThan(writes - 500);
  isAway = false;
  sink.write(attempt("t-0"), [output(writes + 1, "the last\n")], "shell");
  await until("all that was told", () => toldOf(loki.streams) === sink.dropped(), 10_000);
  const kept = loki.lines().filter((line) => line.startsWith("line ") || line === "the last").length;
  expect(kept + sink.dropped()).toBe(writes + 1);
});

test("to write costs next to nothing, also when all of it is dropped", async () => {
  await using loki = await fakeLoki(() => 503);
  await using sink = lokiLogSink(loki.address, { ...options, maxWaitingBytes: 100_000 });
  const chunk = Buffer.from("0123456789abcde\n".repeat(4096));
  const startedAt = performance.now();
  for (let seq = 1; seq <= 250; seq++) sink.write(attempt(), [output(seq, chunk)], "shell");
  const tookMs = performance.now() - startedAt;
  expect(sink.dropped()).toBeGreaterThan(1_000_000);
  // A million lines and more.
  expect(tookMs).toBeLessThan(1000);
});

test("dispose gives up in its time when nobody answers, and counts what it leaves", async () => {
  const server = createServer(() => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sink = lokiLogSink({ url, authorization: null }, options);
  sink.write(attempt(), [output(1, "one\ntwo\n")], "shell");
  const startedAt = performance.now();
  await sink[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(options.disposeMs + 500);
  expect(sink.dropped()).toBe(2);
  server.closeAllConnections();
  server.close();
});

test("the address: its password goes into a header, and is not shown", async () => {
  await using loki = await fakeLoki();
  const text = loki.address.url.replace("//", "//me:hunter2@");
  const address = parseLokiUrl(`${text}/`);
  if (address === null) throw new Error("no address");
  {
    await using sink = lokiLogSink(address, options);
    sink.write(attempt(), [output(1, "one\n")], "shell");
  }
  expect(loki.headers[0]?.authorization).toBe(`Basic ${Buffer.from("me:hunter2").toString("base64")}`);
  expect(shownLokiUrl(text)).not.toContain("hunter2");
  expect(parseLokiUrl("https://logs.example/loki/")).toEqual({ url: "https://logs.example/loki", authorization: null });
  for (const wrong of ["logs.example", "ftp://logs.example", "http://logs.example?a=b"]) {
    expect(parseLokiUrl(wrong)).toBeNull();
  }
});

function toldOf(streams: readonly Stream[]): number {
  const told = streams.flatMap(({ values }) => values.map(([, , { dropped }]) => Number(dropped ?? 0)));
  return told.reduce((sum, count) => sum + count, 0);
}
