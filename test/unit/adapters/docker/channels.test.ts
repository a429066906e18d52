import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type Channels, channels } from "../../../../src/adapters/docker/channels.ts";
import { frameType } from "../../../../src/adapters/docker/protocol/frame.ts";
import type { SandboxConnection } from "../../../../src/ports/sandbox.ts";
import { until } from "../../../support/until.ts";

const windowBytes = 240 * 1024;

interface Sent {
  readonly type: number;
  readonly channel: number;
  readonly body: Buffer;
}

/** The host's side, and what it sent. */
function hostSide(): { readonly host: Channels; readonly sent: Sent[]; readonly served: SandboxConnection[] } {
  const sent: Sent[] = [];
  const served: SandboxConnection[] = [];
  const host = channels((type, channel, body) => sent.push({ type, channel, body: Buffer.from(body) }));
  host.serve((connection) => served.push(connection));
  return { host, sent, served };
}

const take = (host: Channels, type: number, channel: number, body: Buffer | string): void =>
  host.take({ type, channel, seq: 0, timeUs: 0, body: Buffer.from(body) });

const openOf = (to: string, window = windowBytes): string => JSON.stringify({ to, window });

const window = (bytes: number): Buffer => {
  const body = Buffer.alloc(4);
  body.writeUInt32BE(bytes);
  return body;
};

function opened(): ReturnType<typeof hostSide> & { readonly stream: Duplex } {
  const side = hostSide();
  take(side.host, frameType.open, 1, openOf("http"));
  const [connection] = side.served;
  if (connection === undefined) throw new Error("nothing was served");
  return { ...side, stream: connection.stream };
}

const dataOf = (sent: readonly Sent[]): Buffer =>
  Buffer.concat(sent.filter(({ type }) => type === frameType.data).map(({ body }) => body));
const closes = (sent: readonly Sent[]): readonly unknown[] =>
  sent
    .filter(({ type }) => type === frameType.close)
    .map(({ channel, body }) => [channel, JSON.parse(String(body)).error]);

/** Has its last answer, and is let go of. */
async function refused(sent: readonly Sent[], stream: Duplex): Promise<void> {
  stream.end("too large");
  await until("the answer is sent", () => dataOf(sent).toString() === "too large", 5_000);
  stream.destroy();
  await until("it is let go of", () => stream.closed, 5_000);
}

describe("a connection of the task's", () => {
  test("is taken at once, and carries bytes both ways until both have ended it", async () => {
    const { host, sent, served, stream } = opened();
    expect(served.map(({ to }) => to)).toEqual(["http"]);
    expect(sent).toEqual([{ type: frameType.window, channel: 1, body: window(0) }]);
    take(host, frameType.data, 1, "asked");
    take(host, frameType.data, 1, "");
    expect((await buffer(stream)).toString()).toBe("asked");
    stream.end("answered");
    await until("it is closed", () => closes(sent).length > 0, 5_000);
    expect(dataOf(sent).toString()).toBe("answered");
    expect(closes(sent)).toEqual([[1, null]]);
    // The number may be given again.
    take(host, frameType.open, 1, openOf("socks"));
    expect(served.map(({ to }) => to)).toEqual(["http", "socks"]);
  });

  test("gets no more than it takes", async () => {
    const { host, sent, stream } = opened();
    const whole = randomBytes(1024 * 1024);
    stream.end(whole);
    await until("a window is sent", () => dataOf(sent).length === windowBytes, 5_000);
    for (let granted = windowBytes; granted < whole.length; granted += 50_000) {
      take(host, frameType.window, 1, window(50_000));
      const expected = Math.min(whole.length, granted + 50_000);
      await until("what was granted is sent", () => dataOf(sent).length === expected, 5_000);
    }
    expect(dataOf(sent).equals(whole)).toBe(true);
    expect(sent.every(({ body }) => body.length <= 64 * 1024)).toBe(true);
  });

  test("may send on only as its bytes are read", async () => {
    const { host, sent, stream } = opened();
    const grants = (): number =>
      sent.filter(({ type }) => type === frameType.window).reduce((sum, { body }) => sum + body.readUInt32BE(0), 0);
    for (let count = 0; count < 4; count += 1) take(host, frameType.data, 1, Buffer.alloc(windowBytes / 4));
    expect(grants()).toBeLessThan(windowBytes);
    const before = grants();
    stream.resume();
    await until("more is granted", () => grants() > before, 5_000);
  });

  test("is read to its end although it was closed meanwhile", async () => {
    const { host, sent, stream } = opened();
    stream.end();
    take(host, frameType.data, 1, "the last");
    take(host, frameType.data, 1, "");
    take(host, frameType.close, 1, '{"error":null}');
    expect((await buffer(stream)).toString()).toBe("the last");
    await until("it is closed", () => closes(sent).length > 0, 5_000);
  });

  test("is not cut off while the task still writes behind its answer", async () => {
    const { host, sent, stream } = opened();
    await refused(sent, stream);
    expect(closes(sent)).toEqual([]);
    for (let count = 0; count < 20; count += 1) take(host, frameType.data, 1, Buffer.alloc(windowBytes / 4));
    const granted = sent
      .filter(({ type }) => type === frameType.window)
      .reduce((sum, { body }) => sum + body.readUInt32BE(0), 0);
    expect(granted).toBe(5 * windowBytes);
    take(host, frameType.data, 1, "");
    expect(closes(sent)).toEqual([[1, null]]);
  });

  test("is not held up behind its answer by what it wrote before, and nobody read", async () => {
    const { host, sent, stream } = opened();
    take(host, frameType.data, 1, Buffer.alloc(windowBytes));
    await refused(sent, stream);
    const granted = sent
      .filter(({ type }) => type === frameType.window)
      .reduce((sum, { body }) => sum + body.readUInt32BE(0), 0);
    expect(granted).toBe(windowBytes);
    expect(closes(sent)).toEqual([]);
  });

  test("is closed when the task writes far more behind its answer than was on its way", async () => {
    const { host, sent, stream } = opened();
    await refused(sent, stream);
    let written = 0;
    for (; closes(sent).length === 0; written += windowBytes / 4)
      take(host, frameType.data, 1, Buffer.alloc(windowBytes / 4));
    expect(written).toBeLessThan(4 * 1024 * 1024);
  });

  test("is closed some time after its answer, whatever the task does", async () => {
    const { sent, stream } = opened();
    stream.end("answer");
    await until("the answer is sent", () => dataOf(sent).length > 0, 5_000);
    stream.destroy();
    await until("it is closed", () => closes(sent).length > 0, 5_000);
  });

  test.each([
    ["closes it in the middle", (host: Channels) => take(host, frameType.close, 1, '{"error":null}')],
    ["opens it again", (host: Channels) => take(host, frameType.open, 1, openOf("http"))],
    ["sends a frame of no kind", (host: Channels) => take(host, 0x12, 1, "12345")],
    [
      "sends more than its window",
      (host: Channels) => {
        for (let count = 0; count < 3; count += 1) take(host, frameType.data, 1, Buffer.alloc(windowBytes - 1));
      },
    ],
    [
      "writes on behind its end",
      (host: Channels) => {
        take(host, frameType.data, 1, "");
        take(host, frameType.data, 1, "more");
      },
    ],
  ])("is cut off when the sandbox %s", async (_what, breaks) => {
    const { host, sent, stream } = opened();
    breaks(host);
    await until("it is closed", () => stream.destroyed && closes(sent).length > 0, 5_000);
    expect(closes(sent)).toEqual([[1, "closed"]]);
  });

  test("is cut off without a word when its sandbox is let go of", async () => {
    const { host, sent, stream } = opened();
    host.cutOff();
    await until("it is closed", () => stream.closed, 5_000);
    expect(closes(sent)).toEqual([]);
  });
});

describe("what no task may do", () => {
  test.each([
    ["data for a channel that was never opened", frameType.data, 7, "forged"],
    ["a window for one", frameType.window, 7, "1234"],
    ["a channel of the host's", frameType.open, 2, openOf("http")],
    ["an open that says nothing", frameType.open, 1, "{}"],
    ["an open that is no JSON", frameType.open, 1, "\u0000\u0001"],
    ["a name without end", frameType.open, 1, openOf("x".repeat(301))],
  ])("%s is closed", (_what, type, channel, body) => {
    const { host, sent, served } = hostSide();
    take(host, type, channel, body);
    expect(sent.map((each) => each.type)).toEqual([frameType.close]);
    expect(served).toEqual([]);
  });

  test("a close is never answered with another", () => {
    const { host, sent } = hostSide();
    take(host, frameType.close, 9, '{"error":"no such channel"}');
    expect(sent).toEqual([]);
  });

  test("before somebody serves them, connections are refused", () => {
    const sent: Sent[] = [];
    const host = channels((type, channel, body) => sent.push({ type, channel, body }));
    take(host, frameType.open, 1, openOf("http"));
    expect(closes(sent)).toEqual([[1, "nothing is served here"]]);
  });

  test("where they are expected, those that come before are taken when somebody serves them", () => {
    const sent: Sent[] = [];
    const served: SandboxConnection[] = [];
    const host = channels((type, channel, body) => sent.push({ type, channel, body: Buffer.from(body) }));
    host.expect();
    take(host, frameType.open, 1, openOf("http"));
    take(host, frameType.data, 1, "early");
    take(host, frameType.open, 3, openOf("socks"));
    take(host, frameType.close, 3, '{"error":"nobody took it"}');
    // Not taken yet: whoever made it is not told so.
    expect(sent.filter(({ channel }) => channel === 1)).toEqual([]);

    host.serve((connection) => served.push(connection));
    expect(sent.filter(({ channel }) => channel === 1)).toEqual([
      { type: frameType.window, channel: 1, body: window(0) },
    ]);
    expect(served.map(({ to }) => to)).toEqual(["http"]);
    expect(served[0]?.stream.read()?.toString()).toBe("early");
  });

  test("no more than 128 are open at once", () => {
    const { host, sent, served } = hostSide();
    for (let number = 1; number <= 2 * 130; number += 2) take(host, frameType.open, number, openOf("http"));
    expect(served).toHaveLength(128);
    expect(closes(sent)).toEqual([
      [257, "128 channels are open"],
      [259, "128 channels are open"],
    ]);
  });
});
