import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { callbackSender, type Resolve } from "../../../../src/adapters/http/callback-sender.ts";
import { parseCallbackHosts } from "../../../../src/model/callback-hosts.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import { receiver } from "../../../support/receiver.ts";
import { never } from "../../../support/samples.ts";

const body = Buffer.from('{"a": 1}\n');
const headers = { "webhook-id": "acme/t-1" };

const senderFor = (hosts: string, resolve?: Resolve, withinMs = 5000) =>
  callbackSender(parseCallbackHosts(hosts) ?? [], resolve, withinMs);

async function failureOf(sending: Promise<void>): Promise<ExecutorError> {
  try {
    await sending;
  } catch (error) {
    if (error instanceof ExecutorError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

test("the body comes as it is, as JSON, by POST, with what was said of it", async () => {
  await using other = await receiver();
  await senderFor(`${other.url}=127.0.0.0/8`, loopback).send(`${other.url}/hook?x=1`, headers, body, never());
  expect(other.received).toMatchObject([
    {
      method: "POST",
      path: "/hook?x=1",
      headers: {
        ...headers,
        host: `localhost:${other.port}`,
        "content-type": "application/json",
        "content-length": String(body.length),
      },
      body,
    },
  ]);
});

test("G23 the address that was judged is the one that is dialled: the name is asked once", async () => {
  await using other = await receiver();
  let asked = 0;
  const rebinding: Resolve = async () => {
    asked += 1;
    return asked === 1 ? loopback("") : [{ address: "169.254.169.254", family: 4 }];
  };
  const sender = senderFor(`http://rebind.example:${other.port}=127.0.0.0/8`, rebinding);
  await sender.send(`http://rebind.example:${other.port}/`, headers, body, never());
  expect([asked, other.received.length]).toEqual([1, 1]);
  expect(other.received[0]?.headers.host).toBe(`rebind.example:${other.port}`);
});

test.each<[string, readonly string[]]>([
  ["the loopback", ["127.0.0.1"]],
  ["a private network", ["10.1.2.3"]],
  ["a cloud's secrets", ["169.254.169.254"]],
  ["one of the internet's and one that is not", ["8.8.8.8", "::1"]],
  ["an IPv4 address in IPv6", ["::ffff:127.0.0.1"]],
])("F3 F8 G23 a name that leads to %s is not called, and not tried again", async (_name, addresses) => {
  await using other = await receiver();
  const resolve: Resolve = async () => addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  const sending = senderFor(`http://nice.example:${other.port}`, resolve).send(
    `http://nice.example:${other.port}/`,
    headers,
    body,
    never(),
  );
  expect(await failureOf(sending)).toMatchObject({ code: "policy_denied" });
  expect(other.received).toEqual([]);
});

test("a host that the setting no longer names is not called", async () => {
  await using other = await receiver();
  expect(await failureOf(senderFor("").send(`${other.url}/`, headers, body, never()))).toMatchObject({
    code: "policy_denied",
  });
  expect(other.received).toEqual([]);
});

describe("what is no yes is a failure that may pass", () => {
  test.each([301, 302, 307, 308, 400, 404, 410, 429, 500, 503])("status %i", async (status) => {
    await using elsewhere = await receiver();
    await using other = await receiver(
      (response) => void response.writeHead(status, { location: elsewhere.url }).end(),
    );
    const sending = senderFor(`${other.url}=127.0.0.0/8`, loopback).send(`${other.url}/`, headers, body, never());
    expect(await failureOf(sending)).toMatchObject({
      code: "internal",
      message: `http://localhost:${other.port} answered with status ${status}, not 2xx`,
    });
    // Redirects are not followed.
    expect([other.received.length, elsewhere.received.length]).toEqual([1, 0]);
  });

  test("nobody there", async () => {
    const port = await freePort();
    const url = `http://localhost:${port}`;
    expect(await failureOf(senderFor(`${url}=127.0.0.0/8`, loopback).send(url, headers, body, never()))).toMatchObject({
      code: "internal",
      message: `${url} was not reached: ECONNREFUSED`,
    });
  });

  test.each<[string, (socket: import("node:net").Socket) => void, string]>([
    ["says nothing", () => undefined, "no answer within 300 ms"],
    ["says it byte by byte", (socket) => void setInterval(() => socket.write("H"), 20), "HPE_INVALID_CONSTANT"],
    ["sends headers without end", (socket) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}`), "HPE_"],
    ["hangs up", (socket) => void socket.destroy(), "ECONNRESET"],
    ["speaks otherwise", (socket) => void socket.write("220 smtp.example ESMTP\r\n"), "HPE_INVALID_CONSTANT"],
  ])("somebody who %s", async (_name, behave, why) => {
    await using other = await bare(behave);
    const url = `http://localhost:${other.port}`;
    const sender = senderFor(`${url}=127.0.0.0/8`, loopback, 300);
    const startedAt = performance.now();
    const { message, code } = await failureOf(sender.send(url, headers, body, never()));
    expect({ message, code }).toEqual({ message: expect.stringContaining(why), code: "internal" });
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  test("a name server that does not answer", async () => {
    const sending = senderFor("http://slow.example:1", () => new Promise(() => undefined), 100);
    expect(await failureOf(sending.send("http://slow.example:1/", headers, body, never()))).toMatchObject({
      message: "http://slow.example:1 was not reached: no answer within 100 ms",
    });
  });
});

test("an answer without end is let go of at its status", async () => {
  await using other = await bare((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const flood = setInterval(() => socket.write(`10000\r\n${"x".repeat(0x10000)}\r\n`), 1);
    socket.on("close", () => clearInterval(flood));
  });
  const url = `http://localhost:${other.port}`;
  await senderFor(`${url}=127.0.0.0/8`, loopback).send(url, headers, body, never());
  await other.gone;
});

async function loopback(_host: string): ReturnType<Resolve> {
  return [{ address: "127.0.0.1", family: 4 }];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Somebody who is no HTTP server; `gone` resolves when the first who came has left. */
async function bare(behave: (socket: import("node:net").Socket) => void) {
  const left = Promise.withResolvers<void>();
  const sockets = new Set<import("node:net").Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => left.resolve());
    socket.once("data", () => behave(socket));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    gone: left.promise,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
