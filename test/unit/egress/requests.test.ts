import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { type EgressGroundOptions, egressGround, origin } from "../../support/egress-ground.ts";
import { until } from "../../support/until.ts";

// The bounds of `until` are met first, and say what was waited for.
vi.setConfig({ testTimeout: 60_000 });

const get = (url: string, ...headers: readonly string[]): string =>
  [`GET ${url} HTTP/1.1`, `Host: ${/^http:\/\/([^/?]*)/.exec(url)?.[1] ?? "a.example"}`, ...headers, "", ""].join(
    "\r\n",
  );

const ok = (body = "ok", ...headers: readonly string[]): string =>
  ["HTTP/1.1 200 OK", `Content-Length: ${body.length}`, ...headers, "", body].join("\r\n");

const allow = ["http://a.example", "http://b.example:8080", "tls.example"];

/** A server that gives every request this answer when its head is there. */
const answering = (answer: string | Buffer) =>
  origin((socket, soFar) => void (soFar.includes("\r\n\r\n") && socket.end(answer)));

describe("a request with its whole URL", () => {
  test("goes to its host, with its path, its headers and nothing of the hop", async () => {
    await using server = await answering(
      ok("ok", "X-Two: 1", "X-Two: 2", "Keep-Alive: timeout=5", "Connection: X-Hop", "X-Hop: 1"),
    );
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk(
      "http",
      get(
        "http://A.example/p/q?x=%20y",
        "X-One: 1",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Connection: X-Own",
        "X-Own: 1",
      ),
    );
    await talk.hears("ok");
    expect(server.heard()).toEqual([
      "GET /p/q?x=%20y HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nConnection: close\r\n\r\n",
    ]);
    expect(talk.heard()).toBe(
      "HTTP/1.1 200 OK\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
    );
    expect(ground.dialled).toEqual(["93.184.216.34 80"]);
  });

  test("may have a body, of a length or in chunks", async () => {
    await using server = await origin((socket, soFar) => void (/(?:hello|0\r\n\r\n)$/.test(soFar) && socket.end(ok())));
    await using ground = egressGround(server.port, { allow });
    const post = "POST http://b.example:8080/ HTTP/1.1\r\nHost: b.example:8080\r\n";
    const talk = ground.talk("http", `${post}Content-Length: 5\r\n\r\nhello`);
    await talk.hears("ok");
    talk.stream.write(`${post}Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n`);
    await until("both are told", () => ground.events.length === 2, 10_000);
    const head = "POST / HTTP/1.1\r\nHost: b.example:8080\r\n";
    expect(server.heard()).toEqual([
      `${head}Content-Length: 5\r\nConnection: close\r\n\r\nhello`,
      `${head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ]);
  });

  test("is judged each by itself on a connection that is kept", async () => {
    await using server = await answering(ok());
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.hears("ok");
    talk.stream.write(get("http://b.example:8080/"));
    await until("the second is told", () => ground.events.length === 2, 10_000);
    talk.stream.write(get("http://evil.example/"));
    await talk.closed();
    expect(talk.heard()).toContain("HTTP/1.1 403 Forbidden");
    expect(talk.heard()).toContain('add it to network.allow: "evil.example:80"');
    expect(ground.dialled).toEqual(["93.184.216.34 80", "93.184.216.34 8080"]);
    expect(ground.events).toMatchObject([
      { host: "a.example", port: 80, verdict: "allowed" },
      { host: "b.example", port: 8080, verdict: "allowed" },
      { host: "evil.example", port: 80, verdict: "denied" },
    ]);
  });

  test("F10 is resolved and judged each by itself too", async () => {
    await using server = await answering(ok());
    let asked = 0;
    await using ground = egressGround(server.port, {
      allow,
      resolve: async () => {
        asked += 1;
        return asked === 1 ? ["93.184.216.34"] : ["169.254.169.254"];
      },
    });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.hears("ok");
    talk.stream.write(get("http://a.example/"));
    await talk.closed();
    expect(talk.heard()).toContain("HTTP/1.1 403 ");
    expect(ground.dialled).toEqual(["93.184.216.34 80"]);
  });

  test("F9 a redirect is the client's to follow, and judged when it does", async () => {
    await using server = await answering(
      "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n",
    );
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.hears("Location: http://169.254.169.254/latest/");
    await until("it is told", () => ground.events.length === 1, 10_000);
    talk.stream.write(get("http://169.254.169.254/latest/"));
    await talk.closed();
    expect(talk.heard()).toContain("HTTP/1.1 403 ");
    expect(ground.dialled).toHaveLength(1);
  });

  test("that expects 100-continue is let go on by us", async () => {
    await using server = await origin((socket, soFar) => void (soFar.endsWith("hello") && socket.end(ok())));
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk(
      "http",
      "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    await talk.hears("100 Continue");
    talk.stream.write("hello");
    await talk.hears("ok");
    expect(server.heard()[0]).not.toContain("Expect");
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "Content-Length: 99"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 "],
    ["GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"],
    ["GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "\r\n2\r\nab\r\n0\r\n\r\n"],
    ["GET", "HTTP/1.0 200 OK\r\n\r\nof old", "of old"],
    ["GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"],
    ["GET", "HTTP/1.1 500 Bad\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 500 "],
  ])("%s is answered with %j", async (method, answer, wanted) => {
    await using server = await answering(answer);
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk("http", get("http://a.example/").replace("GET", method));
    await talk.hears(wanted);
    talk.stream.end();
    await talk.closed();
    expect(ground.events).toMatchObject([{ verdict: "allowed" }]);
  });
});

const chunked = (...rest: readonly string[]): string =>
  `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n${rest.join("\r\n")}\r\n\r\n`;

/** Each as bytes, with the status that it is answered with. Nothing of it goes out. */
const unclear: readonly (readonly [row: string, name: string, bytes: string, status: number])[] = [
  ["F16", "Host is another", "GET http://a.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400],
  ["F16", "Host is another, the other way round", "GET http://evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F16", "Host has another port", "GET http://a.example/ HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", 400],
  ["F16", "Host lacks the port", "GET http://b.example:8080/ HTTP/1.1\r\nHost: b.example\r\n\r\n", 400],
  ["F16", "two hosts", get("http://a.example/", "Host: a.example"), 400],
  ["F16", "two hosts that differ", get("http://a.example/", "Host: evil.example"), 400],
  ["F16", "no host", "GET http://a.example/ HTTP/1.1\r\n\r\n", 400],
  ["F16", "an empty host", "GET http://a.example/ HTTP/1.1\r\nHost: \r\n\r\n", 400],
  ["F16", "a list of ports", "GET http://a.example/ HTTP/1.1\r\nHost: a.example:80,8080\r\n\r\n", 400],
  ["F16", "a list of hosts", "GET http://a.example/ HTTP/1.1\r\nHost: a.example, evil.example\r\n\r\n", 400],
  ["F16", "a user in the URL", "GET http://a.example@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400],
  ["F16", "a backslash in the URL", "GET http://a.example\\@evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F16", "a fragment in the URL", "GET http://a.example/#x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F16", "a bad port in the URL", "GET http://a.example:0/ HTTP/1.1\r\nHost: a.example:0\r\n\r\n", 400],
  ["F16", "a path only", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F16", "no host in the URL", "GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F9", "another scheme", "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F9", "a file", "GET file:///etc/passwd HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F9", "gopher", "GET gopher://a.example:80/_x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F9", "https", "GET https://tls.example/ HTTP/1.1\r\nHost: tls.example\r\n\r\n", 400],
  ["F18", "both lengths", `${chunked("Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`, 400],
  [
    "F18",
    "both lengths, the other way round",
    `${chunked("Transfer-Encoding: chunked", "Content-Length: 5")}0\r\n\r\n`,
    400,
  ],
  ["F18", "two lengths", `${chunked("Content-Length: 5", "Content-Length: 6")}hello`, 400],
  ["F18", "one length twice", `${chunked("Content-Length: 5", "Content-Length: 5")}hello`, 400],
  ["F18", "a list of lengths", `${chunked("Content-Length: 5, 5")}hello`, 400],
  ["F18", "a negative length", `${chunked("Content-Length: -1")}hello`, 400],
  ["F18", "a length with a sign", `${chunked("Content-Length: +5")}hello`, 400],
  ["F18", "a length in hex", `${chunked("Content-Length: 0x5")}hello`, 400],
  ["F18", "a length beyond numbers", `${chunked("Content-Length: 99999999999999999999")}hello`, 400],
  ["F18", "an unknown coding", `${chunked("Transfer-Encoding: xchunked")}0\r\n\r\n`, 400],
  ["F18", "chunked not last", `${chunked("Transfer-Encoding: chunked, identity")}0\r\n\r\n`, 400],
  ["F18", "a coding before chunked", `${chunked("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`, 400],
  ["F18", "chunked twice", `${chunked("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")}0\r\n\r\n`, 400],
  ["F18", "a tab in the coding", `${chunked("Transfer-Encoding:\u000bchunked")}0\r\n\r\n`, 400],
  ["F18", "a space before the colon", `${chunked("Transfer-Encoding : chunked")}0\r\n\r\n`, 400],
  ["F18", "chunked of HTTP/1.0", `${chunked("Transfer-Encoding: chunked")}0\r\n\r\n`.replace("1.1", "1.0"), 400],
  ["F18", "bare line feeds", "GET http://a.example/ HTTP/1.1\nHost: a.example\n\n", 400],
  ["F18", "a bare carriage return", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n", 400],
  ["F18", "a folded line", get("http://a.example/", "X: a\r\n b"), 400],
  ["F18", "a NUL in a header", get("http://a.example/", "X: a\0b"), 400],
  ["F18", "a space in the path", "GET http://a.example/ x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400],
  ["F18", "100 KB of header", get("http://a.example/", `X: ${"x".repeat(100_000)}`), 431],
  [
    "F18",
    "the length behind 3000 headers",
    chunked(...Array.from({ length: 3000 }, () => "a:"), "Content-Length: 5"),
    413,
  ],
  ["F18", "another version", "GET http://a.example/ HTTP/1.2\r\nHost: a.example\r\n\r\n", 400],
  [
    "F19",
    "an upgrade to HTTP/2",
    get("http://a.example/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x"),
    501,
  ],
  [
    "F19",
    "a WebSocket",
    get("http://a.example/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
    501,
  ],
  ["F19", "HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["F19", "TRACE", "TRACE http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 405],
  ["F18", "an expectation nobody knows", get("http://a.example/", "Expect: 42"), 417],
  ["F19", "TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["F19", "SOCKS", "\x05\x01\x00", 400],
];

test.each(unclear.filter(([, , , status]) => status !== 413))("%s %s", async (_row, _name, bytes, status) => {
  await using server = await answering(ok());
  await using ground = egressGround(server.port, { allow });
  // What an attacker hopes to have taken for a second request.
  const talk = ground.talk("http", Buffer.from(`${bytes}${get("http://a.example/smuggled")}`, "latin1"));
  await talk.closed();
  expect(talk.heard()).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*$`));
  expect(talk.heard().match(/HTTP\/1.1 /g)).toHaveLength(1);
  expect([...ground.dialled, ...server.heard()]).toEqual([]);
});

test.each([
  ["garbage for a chunk", "zz\r\n"],
  ["a chunk that is longer than it says", "1\r\nab\r\n"],
  ["a chunk extension of 1 MB", `1;${"x".repeat(1 << 20)}\r\na\r\n`],
  ["a negative chunk", "-1\r\n"],
  ["a chunk beyond numbers", "fffffffffffffffff\r\n"],
  ["bare line feeds between chunks", "1\na\n0\n\n"],
])("F18 %s ends request and connection", async (_name, body) => {
  await using server = await origin(() => undefined);
  await using ground = egressGround(server.port, { allow });
  const talk = ground.talk("http", chunked("Transfer-Encoding: chunked") + body);
  await talk.closed();
  await until("it is told", () => ground.events.some(({ verdict }) => verdict === "denied"), 10_000);
  expect(server.heard().join("")).not.toContain("0\r\n\r\n");
});

test("F18 what the parser would drop beyond a count of headers still counts", async () => {
  await using server = await origin((socket, soFar) => void (soFar.endsWith("hello") && socket.end(ok())));
  await using ground = egressGround(server.port, { allow });
  const talk = ground.talk("http", `${chunked(...Array.from({ length: 2500 }, () => "a:"), "Content-Length: 5")}hello`);
  await talk.hears("ok");
  expect(server.heard()[0]).toContain("Content-Length: 5\r\n");
});

test("requests that do not wait for answers are few", async () => {
  await using server = await origin(() => undefined);
  await using ground = egressGround(server.port, { allow });
  const talk = ground.talk("http", get("http://a.example/").repeat(100));
  await talk.closed();
  expect(ground.dialled.length).toBeLessThanOrEqual(8);
});

test("CONNECT behind another request is none", async () => {
  await using server = await answering(ok());
  await using ground = egressGround(server.port, { allow });
  const talk = ground.talk("http", get("http://a.example/"));
  await talk.hears("ok");
  talk.stream.write("CONNECT tls.example:443 HTTP/1.1\r\nHost: tls.example:443\r\n\r\n");
  await talk.closed();
  expect(talk.heard()).toContain("HTTP/1.1 400 ");
  expect(ground.dialled).toHaveLength(1);
});

test("a host that is allowed for TLS only gets no plain request", async () => {
  await using ground = egressGround(1, { allow: ["tls.example:80,443"] });
  const talk = ground.talk("http", get("http://tls.example/"));
  await talk.closed();
  expect(talk.heard()).toContain("is allowed for TLS only");
  expect(ground.dialled).toEqual([]);
});

describe("an answer", () => {
  const answered = async (answer: string | Buffer, caps: EgressGroundOptions["caps"] = {}) => {
    await using server = await answering(answer);
    await using ground = egressGround(server.port, { allow, caps });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.closed();
    await until("it is told", () => ground.events.length > 0, 10_000);
    return { heard: talk.heard(), events: ground.events };
  };

  test.each([
    [
      "of both lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
    ["of two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
    ["of 10^5 headers", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(100_000)}\r\n`],
    ["of a header of 1 MB", `HTTP/1.1 200 OK\r\na: ${"b".repeat(1 << 20)}\r\n\r\n`],
    ["that changes the protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"],
    ["behind 1000 interim ones", `${"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)}${ok()}`],
    ["of no HTTP", "SSH-2.0-x\r\n"],
    ["of nothing", ""],
  ])("F20 %s is 502", async (_name, answer) => {
    expect((await answered(answer)).heard).toMatch(/^HTTP\/1.1 502 /);
  });

  test.each([
    ["that is shorter than it says", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"],
    ["with a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"],
  ])("%s is no whole one for the client", async (_name, answer) => {
    const { heard } = await answered(answer);
    expect(heard).not.toContain("\r\n0\r\n\r\n");
  });

  test("F20 a packed body stays packed", async () => {
    const packed = gzipSync(Buffer.alloc(10_000_000));
    await using server = await answering(
      Buffer.concat([
        Buffer.from(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`),
        packed,
      ]),
    );
    await using ground = egressGround(server.port, { allow });
    const talk = ground.talk("http", get("http://a.example/"));
    await until("it is told", () => ground.events.length > 0, 10_000);
    expect(ground.events[0]?.bytesIn).toBeLessThan(packed.length + 200);
    await until("it is there", () => talk.heard().length >= packed.length, 10_000);
  });

  test("F20 without an end is cut at the task's bytes", async () => {
    await using server = await origin((socket) => {
      const go = (): void => {
        while (!socket.destroyed && socket.write("1000\r\n".concat("x".repeat(0x1000), "\r\n")));
      };
      socket.on("drain", go);
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      go();
    });
    await using ground = egressGround(server.port, { allow, caps: { maxBytes: 1_000_000 } });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.closed();
    await until("it is told", () => ground.events.length > 0, 10_000);
    expect(ground.events[0]?.why).toContain("1000000 bytes");
    expect(talk.heard().length).toBeLessThan(1_100_000);
  });

  test("F22 to a body over the task's bytes says so, and the client can write no further", async () => {
    await using server = await origin(() => undefined);
    await using ground = egressGround(server.port, { allow, caps: { maxBytes: 1_000_000 } });
    const talk = ground.talk(
      "http",
      `POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${1 << 30}\r\n\r\n`,
    );
    const piece = Buffer.alloc(65_536, 120);
    for (let sent = 0; sent < 1 << 30 && talk.stream.writable; sent += piece.length)
      if (!talk.stream.write(piece)) await Promise.race([once(talk.stream, "drain"), once(talk.stream, "close")]);
    await talk.closed();
    const why = "the task's connections carried 1000000 bytes, the most that is allowed";
    expect(talk.heard()).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(talk.heard()).toContain(`\r\n\r\n${why}\n`);
    await until("it is told", () => ground.events.length > 0, 10_000);
    expect(ground.events[0]).toMatchObject({ why });
    expect(server.heard()[0]?.length).toBeLessThan(1_000_200);
  });

  test("F20 that drips is cut at the connection's time", async () => {
    await using server = await origin((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const drip = setInterval(() => socket.write("x"), 10);
      socket.once("close", () => clearInterval(drip));
    });
    await using ground = egressGround(server.port, { allow, caps: { totalMs: 200, idleMs: 5000 } });
    const talk = ground.talk("http", get("http://a.example/"));
    await talk.closed();
    await until("it is told", () => ground.events.length > 0, 10_000);
    expect(ground.events[0]?.why).toContain("open for 200 ms");
  });
});

test("a client that goes away takes its connection along", async () => {
  await using server = await origin(() => undefined);
  await using ground = egressGround(server.port, { allow });
  const talk = ground.talk("http", get("http://a.example/"));
  await until("it is there", () => server.heard().length === 1, 10_000);
  talk.stream.end();
  await talk.closed();
  await until("it is told", () => ground.events.length === 1, 10_000);
});
