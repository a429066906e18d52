import type { IncomingMessage, RequestListener } from "node:http";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { selfSigned } from "../../support/certificate.ts";
import { forThisFile } from "../../support/for-this-file.ts";
import { type HttpCall, httpToolGround, tlsNames } from "../../support/http-tool-ground.ts";

// Each case is a process of its own.
vi.setConfig({ testTimeout: 60_000 });

/** Bytes as they are, of a connection that stays open. */
const raw =
  (...pieces: readonly (string | Buffer)[]): RequestListener =>
  ({ socket }) => {
    for (const piece of pieces) socket.write(piece);
  };

const rawAndEnd =
  (bytes: string | Buffer): RequestListener =>
  ({ socket }) =>
    void socket.end(bytes);

const every =
  (ms: number, first: string, piece: string): RequestListener =>
  ({ socket }: IncomingMessage) => {
    socket.write(first);
    const timer = setInterval(() => socket.write(piece), ms);
    socket.once("close", () => clearInterval(timer));
  };

const ok = "HTTP/1.1 200 OK\r\n";
const zeros = Buffer.alloc(8 * 1024 * 1024);

const packed =
  (coding: string, bytes: Buffer): RequestListener =>
  (_request, response) =>
    void response.writeHead(200, { "Content-Encoding": coding }).end(bytes);

const answers: Readonly<Record<string, RequestListener>> = {
  "bomb-gzip": packed("gzip", gzipSync(zeros)),
  "bomb-br": packed("br", brotliCompressSync(zeros)),
  "no-gzip": packed("gzip", Buffer.from("not at all")),
  "cut-gzip": packed("gzip", gzipSync("x".repeat(100_000)).subarray(0, 60)),
  "no-br": packed("br", Buffer.from("\xff\xff\xff\xff", "latin1")),
  "header-count": raw(ok, "a: b\r\n".repeat(100_000), "\r\n"),
  "header-line": raw(ok, `a: ${"b".repeat(1024 * 1024)}\r\n\r\n`),
  "no-http": rawAndEnd("SSH-2.0-x\r\n\r\n"),
  "two-lengths": raw(`${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`),
  "bad-chunk": rawAndEnd(`${ok}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`),
  "packed-transfer": rawAndEnd(`${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`),
  "no-status": rawAndEnd("HTTP/1.1 007 Bond\r\nContent-Length: 0\r\n\r\n"),
  "cut-body": rawAndEnd(`${ok}Content-Length: 100\r\n\r\nonly this`),
  "cut-chunk": rawAndEnd(`${ok}Transfer-Encoding: chunked\r\n\r\nff\r\nonly this`),
  "no-answer": rawAndEnd(""),
  upgrade: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
  interim: raw("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)),
  terminal: rawAndEnd(`${ok}Content-Length: \u001b[31mred\u202e\r\n\r\n`),
  silent: () => undefined,
  "drip-head": every(50, ok, "a: b\r\n"),
  "drip-body": every(50, `${ok}Content-Type: text/plain\r\n\r\n`, "x"),
  "large-drip": every(50, `${ok}Content-Type: text/plain\r\n\r\n${"x".repeat(100_000)}`, "x"),
};

const answer: RequestListener = (request, response) => {
  const its = answers[(request.url ?? "").slice(1)];
  if (its === undefined) response.end("here");
  else its(request, response);
};

const allow = ["api.example.com", "api.example.com:8443", "http://plain.example.com", "http://plain.example.com:81"];
const ground = forThisFile(() => httpToolGround({ allow, answer }));

/** Nothing but one line, that has these words. */
function expectRefused({ code, stderr, stdout, value, files }: HttpCall, words: string): void {
  expect({ code, stdout, value, files: [...files.keys()] }).toEqual({ code: 1, stdout: "", value: null, files: [] });
  expect(stderr).toContain(words);
  expect(stderr).toMatch(/^http: [\x20-\x7e]+\n$/);
}

describe("an answer that is none", () => {
  test.each([
    ["F20 bomb-gzip", "the body from api.example.com:443 was refused: it unpacks to more than 200 times its size"],
    ["F20 bomb-br", "it unpacks to more than 200 times its size"],
    ["no-gzip", "the body from api.example.com:443 is not what its content-encoding says (Z_DATA_ERROR)"],
    ["cut-gzip", "is not what its content-encoding says (Z_BUF_ERROR)"],
    ["no-br", "is not what its content-encoding says"],
    ["F20 header-count", "the answer of api.example.com:443 has headers of more than 64 KiB"],
    ["F20 header-line", "the answer of api.example.com:443 has headers of more than 64 KiB"],
    ["no-http", "the answer of api.example.com:443 is no valid HTTP: "],
    ["F18 two-lengths", "is no valid HTTP: "],
    ["F18 bad-chunk", "is no valid HTTP: "],
    ["F18 packed-transfer", "has a transfer coding other than chunked"],
    ["no-status", "is no valid HTTP: its status is 7"],
    ["cut-body", "the connection to api.example.com:443 was closed before the answer was whole"],
    ["cut-chunk", "the connection to api.example.com:443 was closed before the answer was whole"],
    ["no-answer", "the connection to api.example.com:443 was closed before the answer was whole"],
    ["F19 upgrade", "api.example.com:443 changed to another protocol"],
    ["F20 interim", "api.example.com:443 sent more than 8 interim answers"],
    ["terminal", "is no valid HTTP: "],
  ])("%s is refused in words", async (name, words) => {
    const path = name.split(" ").at(-1);
    expectRefused(await ground().call({ url: `https://api.example.com/${path}` }), words);
  });

  test.each([
    ["F20 bomb-gzip", "it unpacks to more than 200 times its size"],
    ["cut-body", "the connection to plain.example.com:80 was closed before the answer was whole"],
    ["F20 header-count", "the host did not answer as HTTP says"],
    ["F20 header-line", "the host did not answer as HTTP says"],
    ["no-answer", "the host did not answer as HTTP says"],
    ["upgrade", "the host did not answer as HTTP says"],
  ])("%s is, where the proxy reads it first", async (name, words) => {
    const path = name.split(" ").at(-1);
    expectRefused(await ground().call({ url: `http://plain.example.com/${path}` }), words);
  });
});

describe("F20 an answer that does not end in time", () => {
  test.each([
    ["silent", "while waiting for the answer of api.example.com:443"],
    ["drip-head", "while waiting for the answer of api.example.com:443"],
    ["drip-body", "while reading the body from api.example.com:443, of which "],
    ["large-drip", "while reading the body from api.example.com:443, of which "],
  ])("%s says so before the task's time is over, and leaves nothing", async (name, words) => {
    const call = await ground().call({ url: `https://api.example.com/${name}` }, { limits: { timeout_seconds: 2 } });
    expectRefused(call, `it was not done within 1.5 s, ${words}`);
    expect(call.stderr).toContain("raise limits.timeout_seconds");
    expect(call.tookMs).toBeGreaterThan(1500);
  });
});

describe("a place that is not reached", () => {
  test.each([
    ["https://api.example.com:8443/", "api.example.com:8443 was not reached: ECONNREFUSED"],
    ["http://plain.example.com:81/", "plain.example.com:81 was not reached: ECONNREFUSED"],
    ["https://evil.example/?key=secret", 'denied evil.example:443: add it to network.allow: "evil.example:443"'],
    ["http://evil.example/", 'denied evil.example:80: add it to network.allow: "evil.example:80"'],
    ["http://evil.example:8080/", 'denied evil.example:8080: add it to network.allow: "evil.example:8080"'],
    ["https://127.0.0.1/", "denied 127.0.0.1:443: it is an address: call a host by its name"],
    ["https://[::1]/", "denied [0:0:0:0:0:0:0:1]:443: it is an address"],
    ["https://plain.example.com:81/", "it is allowed for plain HTTP requests only"],
  ])("%s", async (url, words) => {
    const call = await ground().call({ url });
    expectRefused(call, words);
    expect(call.stderr).not.toContain("secret");
  });

  test("of a name without an address", async () => {
    await using lost = await httpToolGround({ allow, answer, addresses: { "api.example.com": [] } });
    expectRefused(await lost.call({ url: "https://api.example.com/" }), "api.example.com has no address");
  });

  test.each([
    ["https://api.example.com/", 'add it to network.allow: "api.example.com:443"'],
    ["http://plain.example.com/", 'add it to network.allow: "plain.example.com:80"'],
    ["http://plain.example.com:81/", 'add it to network.allow: "http://plain.example.com:81"'],
  ])("without any network, with what would allow it: %s", async (url, words) => {
    const none = { HTTP_PROXY: "", HTTPS_PROXY: "", http_proxy: "", https_proxy: "" };
    const call = await ground().call({ url }, { env: none });
    expectRefused(call, `${words}`);
    expect(call.stderr).toContain("this task has no network");
  });

  test("when the way out is gone", async () => {
    const call = await ground().call(
      { url: "https://api.example.com/" },
      { env: { HTTPS_PROXY: "http://127.0.0.1:1" } },
    );
    expectRefused(call, "the sandbox's way out at 127.0.0.1:1 does not answer (ECONNREFUSED)");
  });
});

describe("a certificate that is not right", () => {
  test("of nobody that is known", async () => {
    const call = await ground().call({ url: "https://api.example.com/" }, { env: { SSL_CERT_FILE: "/dev/null" } });
    expectRefused(
      call,
      "the certificate of api.example.com:443 is signed by itself, and the sandbox does not trust it",
    );
    expect(ground().heard).not.toContainEqual(expect.objectContaining({ target: "api.example.com/" }));
  });

  test.each([
    ["is for other names", { names: ["wrong.example.com"] }],
    ["has expired", { names: tlsNames, days: -1 }],
  ])("it %s", async (words, options) => {
    await using certificate = await selfSigned(options);
    await using its = await httpToolGround({ allow, answer, certificate });
    const env = { SSL_CERT_FILE: certificate.certPath };
    expectRefused(
      await its.call({ url: "https://api.example.com/" }, { env }),
      `the certificate of api.example.com:443 ${words}`,
    );
    expect(its.heard).toEqual([]);
  });
});
