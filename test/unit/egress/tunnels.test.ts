import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { duplexPair } from "node:stream";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { selfSigned } from "../../support/certificate.ts";
import { clientHello } from "../../support/client-hello.ts";
import { type EgressGround, egressGround, type Origin, origin } from "../../support/egress-ground.ts";
import { until } from "../../support/until.ts";

// The bounds of `until` are met first, and say what was waited for.
vi.setConfig({ testTimeout: 60_000 });

const connectTo = (place: string, ...headers: readonly string[]): string =>
  [`CONNECT ${place} HTTP/1.1`, `Host: ${place}`, ...headers, "", ""].join("\r\n");

/** A server that answers the first bytes with `pong`. */
const ponging = (): Promise<Origin> => origin((socket) => void socket.write("pong"));

const told = (ground: EgressGround) => until("the event", () => ground.events.length > 0, 10_000);

const hello = clientHello("api.example.com");

describe("CONNECT", () => {
  test("carries a TLS connection to the host that its hello names", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", connectTo("API.example.com.:443"));
    await talk.hears("HTTP/1.1 200 ");
    talk.stream.write(hello);
    await talk.hears("pong");
    talk.stream.end("bye");
    await talk.closed();
    await told(ground);
    expect(ground.dialled).toEqual(["93.184.216.34 443"]);
    expect(server.heard()).toEqual([`${hello.toString("latin1")}bye`]);
    expect(ground.events).toMatchObject([
      {
        ...{ host: "api.example.com", port: 443, verdict: "allowed", why: null, rule: "api.example.com" },
        ...{ address: "93.184.216.34", bytesOut: hello.length + 3 },
      },
    ]);
  });

  test("a hello that comes with CONNECT, and one that comes byte by byte", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const eager = ground.talk("http", Buffer.concat([Buffer.from(connectTo("api.example.com:443")), hello]));
    await eager.hears("pong");
    const slow = ground.talk("http", connectTo("api.example.com:443"));
    await slow.hears("200");
    for (const byte of hello) slow.stream.write(Buffer.from([byte]));
    await slow.hears("pong");
  });

  test("a real client of TLS gets through to a real server", async () => {
    await using certificate = await selfSigned();
    const server = createTlsServer(
      { key: readFileSync(certificate.keyPath), cert: readFileSync(certificate.certPath) },
      (socket) => socket.end("over TLS"),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await using ground = egressGround((server.address() as AddressInfo).port, { allow: ["localhost"] });
    const talk = ground.talk("http", connectTo("localhost:443"));
    await talk.hears("\r\n\r\n");
    talk.stream.removeAllListeners("data");
    talk.stream.removeAllListeners("end");
    const socket = connectTls({ socket: talk.stream, servername: "localhost", ca: readFileSync(certificate.certPath) });
    const [bytes] = (await once(socket, "data")) as [Buffer];
    expect(bytes.toString()).toBe("over TLS");
    socket.destroy();
    server.close();
  });

  test.each([
    ["another host's name", clientHello("evil.example"), 'its TLS hello names "evil.example"'],
    ["a name below it", clientHello("x.api.example.com"), "its TLS hello names"],
    ["an address", clientHello("127.0.0.1"), "its TLS hello names"],
    ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "it does not begin with a TLS handshake"],
    ["SSH", Buffer.from("SSH-2.0-x\r\n"), "it does not begin with a TLS handshake"],
  ])("with %s in its hello is closed, and nothing goes out", async (_name, bytes, why) => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com", "*.api.example.com"] });
    const talk = ground.talk("http", connectTo("api.example.com:443"));
    await talk.hears("200");
    talk.stream.write(bytes);
    await talk.closed();
    await told(ground);
    expect(server.heard().join("")).toBe("");
    // What names another host speaks TLS, and is told by an alert.
    expect(talk.heard().endsWith("\x15\x03\x01\x00\x02\x02\x70")).toBe(why.startsWith("its TLS hello names"));
    expect(ground.events).toMatchObject([{ host: "api.example.com", verdict: "denied", bytesOut: 0 }]);
    expect(ground.events[0]?.why).toContain(why);
  });

  test.each<[string, number, string]>([
    ["other.example.com:443", 403, "denied other.example.com:443"],
    ["api.example.com:22", 403, "denied api.example.com:22"],
    ["api.example.com:25", 403, "denied"],
    ["api.example.com:0", 400, "CONNECT needs HOST:PORT"],
    ["api.example.com:65536", 400, "CONNECT needs HOST:PORT"],
    ["api.example.com:+443", 400, ""],
    ["api.example.com", 400, ""],
    ["8.8.8.8:443", 403, "it is an address"],
    ["[::1]:443", 403, "it is an address"],
    ["[fe80::1%25eth0]:443", 403, "percent"],
    ["127.1:443", 403, "unusual spelling"],
    ["0x7f000001:443", 403, "unusual spelling"],
    ["2130706433:443", 403, "unusual spelling"],
    ["127.0.0.1%00:443", 403, "percent"],
    ["api.example.com.evil.com:443", 403, "denied"],
    ["metadata.google.internal:443", 403, "denied"],
    ["plain.example.com:80", 403, "plain HTTP requests only"],
    ["http://api.example.com:443", 400, ""],
    ["user@api.example.com:443", 403, ""],
  ])("F4 F5 F14 %s is answered with %d, and nothing is asked for or dialled", async (place, status, text) => {
    await using ground = egressGround(1, { allow: ["api.example.com", "http://plain.example.com"] });
    const talk = ground.talk("http", connectTo(place));
    await talk.closed();
    expect(talk.heard()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(talk.heard()).toContain(text);
    expect([...ground.resolved, ...ground.dialled]).toEqual([]);
    expect(ground.events).toMatchObject([{ verdict: "denied" }]);
  });

  test("a refusal says what would allow it", async () => {
    await using ground = egressGround(1, { allow: [] });
    const talk = ground.talk("http", connectTo("api.example.com:443"));
    await talk.closed();
    expect(talk.heard()).toContain('denied api.example.com:443\nadd it to network.allow: "api.example.com:443"\n');
    expect(ground.events).toMatchObject([{ hint: 'add it to network.allow: "api.example.com:443"' }]);
  });

  test.each([
    ["two hosts", `CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nHost: evil.example\r\n\r\n`],
    ["another host", `CONNECT api.example.com:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n`],
    ["another port", `CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:80\r\n\r\n`],
    ["a body", connectTo("api.example.com:443", "Content-Length: 5")],
    ["a chunked body", connectTo("api.example.com:443", "Transfer-Encoding: chunked")],
  ])("F16 with %s is 400", async (_name, bytes) => {
    await using ground = egressGround(1, { allow: ["api.example.com"] });
    const talk = ground.talk("http", bytes);
    await talk.closed();
    expect(talk.heard()).toMatch(/^HTTP\/1.1 400 /);
    expect(ground.dialled).toEqual([]);
  });

  test("of HTTP/1.0, as some clients write it, is one", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", "CONNECT api.example.com:443 HTTP/1.0\r\n\r\n", hello);
    await talk.hears("pong");
  });

  test("F10 leads nowhere when the name does not lead to the internet", async () => {
    await using ground = egressGround(1, {
      allow: ["api.example.com"],
      resolve: async () => ["93.184.216.34", "10.0.0.5"],
    });
    const talk = ground.talk("http", connectTo("api.example.com:443"));
    await talk.closed();
    expect(talk.heard()).toMatch(/^HTTP\/1.1 403 /);
    expect(talk.heard()).not.toContain("10.0.0.5");
    expect(ground.dialled).toEqual([]);
    expect(ground.events).toMatchObject([{ verdict: "denied", rule: "api.example.com" }]);
    expect(ground.events[0]?.why).toContain("is private");
  });

  test("tcp rules of an operator carry any bytes", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, {
      allow: ["tcp://db.corp.example:5432"],
      exceptions: ["db.corp.example:5432=10.0.0.0/8"],
      resolve: async () => ["10.0.0.5"],
    });
    const talk = ground.talk("http", connectTo("db.corp.example:5432"), "plain");
    await talk.hears("pong");
    expect(server.heard()).toEqual(["plain"]);
    expect(ground.dialled).toEqual(["10.0.0.5 5432"]);
  });
});

describe("the end of a tunnel", () => {
  const mebibyte = Buffer.alloc(1024 * 1024, "x");
  const opening = [connectTo("api.example.com:443"), hello] as const;
  const ending = (socket: Socket, answer: () => void): void => {
    socket.removeAllListeners("end");
    socket.once("end", answer);
  };

  test("a client that has ended hears all that the host still says", async () => {
    await using server = await origin((socket) => {
      ending(socket, () => socket.write(mebibyte, () => socket.end("the rest")));
      socket.write("pong");
    });
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", ...opening);
    await talk.hears("pong");
    talk.stream.end();
    await talk.hears("the rest");
    await talk.closed();
    await told(ground);
    const bytesIn = "pong".length + mebibyte.length + "the rest".length;
    expect(ground.events).toMatchObject([{ verdict: "allowed", why: null, bytesIn, bytesOut: hello.length }]);
  });

  test("a host that has ended hears all that the client still says", async () => {
    await using server = await origin((socket) => {
      ending(socket, () => undefined);
      if (!socket.writableEnded) socket.end("bye");
    });
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", ...opening);
    const heardEnd = once(talk.stream.removeAllListeners("end"), "end");
    await talk.hears("bye");
    await heardEnd;
    talk.stream.write(mebibyte);
    talk.stream.end("the rest");
    await talk.closed();
    await told(ground);
    const bytesOut = hello.length + mebibyte.length + "the rest".length;
    await until("the host hears all", () => (server.heard()[0]?.length ?? 0) >= bytesOut, 10_000);
    expect(server.heard()[0]?.length).toBe(bytesOut);
    expect(server.heard()[0]?.endsWith("the rest")).toBe(true);
    expect(ground.events).toMatchObject([{ verdict: "allowed", why: null }]);
  });

  test("a client that is gone is gone for the host too", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = await origin((socket) => {
      socket.once("close", () => closed.resolve());
      socket.write("pong");
    });
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const [client, inner] = duplexPair();
    const served = ground.proxy.serve(inner, "http");
    let heard = "";
    client.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
    });
    for (const piece of opening) client.write(piece);
    await until("pong is heard", () => heard.includes("pong"), 10_000);
    inner.destroy();
    await closed.promise;
    await served;
    await told(ground);
    expect(ground.events).toMatchObject([{ verdict: "allowed", why: null, bytesIn: 4, bytesOut: hello.length }]);
  });

  test("a host that cuts off is no end that a client could take for one", async () => {
    await using server = await origin((socket) => void socket.write("half", () => socket.resetAndDestroy()));
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const [client, inner] = duplexPair();
    const served = ground.proxy.serve(inner, "http");
    client.resume();
    for (const piece of opening) client.write(piece);
    await served;
    await told(ground);
    expect(inner.writableEnded).toBe(false);
    expect(ground.events).toMatchObject([{ verdict: "allowed", why: expect.stringMatching(/ECONNRESET|closed it/) }]);
  });
});

const greeting = Buffer.from([5, 1, 0]);
const socksPort = (port: number): readonly number[] => [port >> 8, port & 0xff];
const byName = (name: string, port = 443, command = 1): Buffer =>
  Buffer.from([5, command, 0, 3, name.length, ...Buffer.from(name, "latin1"), ...socksPort(port)]);
const agreed = "\x05\x00";
const opened = `${agreed}\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00`;

describe("SOCKS5", () => {
  test("carries a TLS connection to a name, however the bytes come", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk(
      "socks",
      ...[...greeting, ...byName("api.example.com")].map((byte) => Buffer.from([byte])),
    );
    await talk.hears(opened);
    talk.stream.write(hello);
    await talk.hears("pong");
    const eager = ground.talk("socks", Buffer.concat([greeting, byName("api.example.com"), hello]));
    await eager.hears("pong");
    expect(ground.resolved).toEqual(["api.example.com", "api.example.com"]);
  });

  test("judges each plain request behind it", async () => {
    await using server = await origin((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    await using ground = egressGround(server.port, { allow: ["http://plain.example.com"] });
    const talk = ground.talk("socks", greeting, byName("plain.example.com", 80));
    await talk.hears(opened);
    expect(ground.dialled).toEqual([]);
    talk.stream.write("GET /a?b HTTP/1.1\r\nHost: plain.example.com\r\n\r\n");
    await talk.hears("ok");
    talk.stream.write("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    await talk.closed();
    expect(talk.heard()).toContain("HTTP/1.1 400 ");
    expect(ground.dialled).toEqual(["93.184.216.34 80"]);
    expect(server.heard()).toEqual(["GET /a?b HTTP/1.1\r\nHost: plain.example.com\r\nConnection: close\r\n\r\n"]);
  });

  test.each<[string, Buffer, number]>([
    ["a host that nobody allowed", byName("evil.example"), 2],
    ["a port that nobody allowed", byName("api.example.com", 22), 2],
    ["port 0", byName("api.example.com", 0), 2],
    ["an address of IPv4", Buffer.from([5, 1, 0, 1, 8, 8, 8, 8, ...socksPort(443)]), 2],
    ["an address of IPv6", Buffer.from([5, 1, 0, 4, ...Buffer.alloc(15), 1, ...socksPort(443)]), 2],
    ["an address as a name", byName("127.0.0.1"), 2],
    ["a strange address as a name", byName("0x7f.1"), 2],
    ["a name with a NUL", byName("api.example.com\0.evil.example"), 2],
    ["a name of other bytes", byName("api.example.com\xff"), 2],
    ["BIND", byName("api.example.com", 443, 2), 7],
    ["UDP", byName("api.example.com", 443, 3), 7],
    ["an unknown kind of host", Buffer.from([5, 1, 0, 9, 0, 0]), 8],
    ["an empty name", byName(""), 8],
  ])("F14 F23 %s is refused", async (_name, request, reply) => {
    await using ground = egressGround(1, { allow: ["api.example.com"] });
    const talk = ground.talk("socks", greeting, request);
    await talk.closed();
    expect(talk.heard()).toBe(`${agreed}\x05${String.fromCharCode(reply)}\x00\x01\x00\x00\x00\x00\x00\x00`);
    expect([...ground.resolved, ...ground.dialled]).toEqual([]);
    expect(ground.events).toMatchObject([{ verdict: "denied" }]);
  });

  test.each<[string, Buffer, string]>([
    ["no method that is there", Buffer.from([5, 1, 2]), "\x05\xff"],
    ["SOCKS 4", Buffer.from([4, 1, 1, 187, 8, 8, 8, 8, 0]), ""],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), ""],
    ["no method", Buffer.from([5, 0]), ""],
    ["another version in its request", Buffer.concat([greeting, Buffer.from([4, 1, 0, 3])]), agreed],
  ])("%s is closed", async (_name, bytes, answer) => {
    await using ground = egressGround(1, { allow: ["api.example.com"] });
    const talk = ground.talk("socks", bytes);
    await talk.closed();
    expect(talk.heard()).toBe(answer);
  });
});

describe("caps", () => {
  test("F21 clients that say nothing count too: the next is closed, and one that goes makes room", async () => {
    await using server = await origin(() => undefined);
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { maxConnections: 2 } });
    const [first] = [ground.talk("http"), ground.talk("socks")];
    await ground.talk("http").closed();
    expect(ground.events).toMatchObject([{ verdict: "denied", why: "the task has 2 connections open already" }]);
    first.stream.end();
    await first.closed();
    const next = ground.talk("http", connectTo("denied.example.com:443"));
    await next.hears("403");
  });

  test("F21 no more connections than allowed are open at once", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { maxConnections: 3 } });
    const talks = Array.from({ length: 3 }, () => ground.talk("http", connectTo("api.example.com:443"), hello));
    for (const talk of talks) await talk.hears("pong");
    const many = Array.from({ length: 500 }, () => ground.talk("http", connectTo("api.example.com:443"), hello));
    for (const talk of many) await talk.closed();
    expect(ground.dialled).toHaveLength(3);
    talks[0]?.stream.end();
    await talks[0]?.closed();
    const next = ground.talk("http", connectTo("api.example.com:443"), hello);
    await next.hears("pong");
  });

  test("F21 whose connections are refused again and again waits between them, and is still served", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const refused = () => ground.talk("http", connectTo("denied.example.com:443"));
    const startedMs = performance.now();
    for (let nth = 0; nth <= 100; nth += 1) await refused().closed();
    const later = Array.from({ length: 40 }, refused);
    const allowed = ground.talk("http", connectTo("api.example.com:443"), hello);
    await allowed.hears("pong");
    expect(ground.events).toHaveLength(141);
    for (const talk of later) expect(talk.heard()).toContain("403");
    // 200 a second at the most.
    expect(performance.now() - startedMs).toBeGreaterThan(195);
  });

  test.each([
    ["F21 that says nothing", { idleMs: 50 }, "idle"],
    ["F20 that never ends", { totalMs: 50 }, "open"],
  ] as const)("a connection %s is closed", async (_name, caps, why) => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.closed();
    await told(ground);
    expect(ground.events).toMatchObject([{ verdict: "allowed" }]);
    expect(ground.events[0]?.why).toContain(why);
  });

  test.each(["http", "socks"] as const)(
    "F21 a client of %s that says nothing, or half a thing, is closed",
    async (front) => {
      await using server = await ponging();
      await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { idleMs: 50, helloMs: 50 } });
      const silent = ground.talk(front);
      const half = ground.talk(front, front === "http" ? "CONNECT api.ex" : greeting);
      const helloless =
        front === "http" ? connectTo("api.example.com:443") : Buffer.concat([greeting, byName("api.example.com")]);
      const late = ground.talk(front, helloless);
      await Promise.all([silent.closed(), half.closed(), late.closed()]);
      expect(server.heard().join("")).toBe("");
    },
  );

  test("F22 all connections of a task together carry no more than its bytes", async () => {
    await using server = await origin(() => undefined);
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { maxBytes: 100_000 } });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.hears("200");
    const piece = Buffer.alloc(10_000);
    for (let n = 0; n < 20; n++) talk.stream.write(piece);
    await talk.closed();
    await told(ground);
    expect(server.heard().join("").length).toBeLessThanOrEqual(100_000);
    expect(ground.events[0]?.why).toContain("100000 bytes");
    const next = ground.talk("http", connectTo("api.example.com:443"), hello);
    await next.closed();
    expect(next.heard()).toMatch(/^HTTP\/1.1 403 /);
    expect(ground.dialled).toHaveLength(1);
  });

  const flooding = (): Promise<Origin> =>
    origin((socket) => {
      const piece = Buffer.alloc(64 * 1024);
      const go = (): void => {
        while (!socket.destroyed && socket.write(piece));
      };
      socket.on("drain", go);
      go();
    });

  test("F20 what a host floods with counts too", async () => {
    await using server = await flooding();
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { maxBytes: 5_000_000 } });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.closed();
    await told(ground);
    expect(ground.events[0]?.why).toContain("5000000 bytes");
    expect(ground.events[0]?.bytesIn).toBeLessThan(5_000_000 + 256 * 1024);
  });

  test("F21 a flood is held back for a client that never reads, and both are closed", async () => {
    await using server = await flooding();
    await using ground = egressGround(server.port, { allow: ["api.example.com"], caps: { idleMs: 200 } });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.hears("200");
    talk.stream.pause();
    await talk.closed();
    await told(ground);
    expect(ground.events[0]?.why).toContain("idle");
    // What it had read until then is its own business.
    const unread = (ground.events[0]?.bytesIn ?? Number.NaN) - talk.heard().length;
    expect(unread).toBeLessThan(1024 * 1024);
  });
});

describe("F28 whatever fails leads nowhere", () => {
  test("a resolver that is down", async () => {
    await using ground = egressGround(1, {
      allow: ["api.example.com"],
      resolve: () => Promise.reject(new Error("SERVFAIL")),
    });
    const talk = ground.talk("http", connectTo("api.example.com:443"));
    await talk.closed();
    expect(talk.heard()).toMatch(/^HTTP\/1.1 502 /);
    const socks = ground.talk("socks", greeting, byName("api.example.com"));
    await socks.closed();
    expect(socks.heard().slice(2, 4)).toBe("\x05\x04");
    expect(ground.events).toMatchObject([{ verdict: "failed" }, { verdict: "failed" }]);
  });

  test("a host that is not there", async () => {
    await using server = await ponging();
    const { port } = server;
    await server[Symbol.asyncDispose]();
    await using ground = egressGround(port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", connectTo("api.example.com:443"));
    await talk.closed();
    expect(talk.heard()).toContain("ECONNREFUSED");
  });

  test.each([
    ["nonsense thrown by a dialer", { dial: () => Promise.reject("nonsense") }],
    [
      "a dialer that throws before it begins",
      {
        dial: () => {
          throw new TypeError("a mistake of ours");
        },
      },
    ],
  ])("%s", async (_name, options) => {
    await using ground = egressGround(1, { allow: ["api.example.com"], ...options });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.closed();
    expect(talk.heard()).toMatch(/^HTTP\/1.1 502 /);
  });

  test("a record that cannot be written closes the way out", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, {
      allow: ["api.example.com"],
      onEvent: () => {
        throw new Error("the disk is full");
      },
    });
    const open = ground.talk("http", connectTo("api.example.com:443"), hello);
    await open.hears("pong");
    await ground.talk("http", connectTo("evil.example:443")).closed();
    await open.closed();
    const next = ground.talk("http", connectTo("api.example.com:443"), hello);
    await next.closed();
    expect(next.heard()).toBe("");
    expect(ground.dialled).toHaveLength(1);
  });

  test("the end of the task closes all, and opens nothing", async () => {
    await using server = await ponging();
    await using ground = egressGround(server.port, { allow: ["api.example.com"] });
    const talk = ground.talk("http", connectTo("api.example.com:443"), hello);
    await talk.hears("pong");
    ground.proxy[Symbol.dispose]();
    await talk.closed();
    await ground.talk("socks", greeting, byName("api.example.com")).closed();
    expect(ground.dialled).toHaveLength(1);
  });
});
