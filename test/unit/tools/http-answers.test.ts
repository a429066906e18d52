import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import type { JsonValue } from "../../../src/model/task.ts";
import { forThisFile } from "../../support/for-this-file.ts";
import { httpToolGround } from "../../support/http-tool-ground.ts";

// Each case is a process of its own.
vi.setConfig({ testTimeout: 60_000 });

interface Given {
  readonly type?: string;
  readonly coding?: string;
  readonly bytes: string | Buffer;
}

const png = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");
const large = "line of text\n".repeat(10_000);

const given: Readonly<Record<string, Given>> = {
  json: { type: "application/json", bytes: '{"items": [1, 2.5, "ü"]}' },
  problem: { type: "application/problem+json; charset=utf-8", bytes: '{"title": "no"}' },
  "json-null": { type: "application/json", bytes: "null" },
  "json-big": { type: "application/json", bytes: '{"id": 12345678901234567890}' },
  "json-proto": { type: "application/json", bytes: '{"__proto__": 1}' },
  "json-deep": { type: "application/json", bytes: `${"[".repeat(30_000)}${"]".repeat(30_000)}` },
  "json-half": { type: "application/json", bytes: '"\\ud800"' },
  "json-cut": { type: "application/json", bytes: '{"a": ' },
  "json-many": { type: "application/json", bytes: `[${"0,".repeat(32_000)}0]` },
  text: { type: "text/plain; charset=utf-8", bytes: "grüß" },
  bom: { type: "text/plain", bytes: Buffer.from("\ufeffgrüß") },
  latin1: { type: "text/plain; charset=ISO-8859-1", bytes: Buffer.from("grüß", "latin1") },
  "utf-16": { type: "text/csv", bytes: Buffer.from("\ufeffa,ü", "utf16le") },
  sjis: { type: 'text/html; charset="Shift_JIS"', bytes: Buffer.from("93fa967b", "hex") },
  meta: { type: "text/html", bytes: Buffer.from('<meta charset="iso-8859-1">ü', "latin1") },
  xml: { type: "application/atom+xml", bytes: Buffer.from('<?xml version="1.0" encoding="latin1"?>ü', "latin1") },
  "no-charset": { type: "text/plain; charset=none", bytes: "ü" },
  spoiled: { type: "text/plain", bytes: Buffer.from([0x61, 0xff, 0x62]) },
  unsaid: { bytes: "ü" },
  "unsaid-binary": { bytes: Buffer.from([0x61, 0xff]) },
  png: { type: "image/png", bytes: png },
  nul: { type: "text/plain", bytes: "a\0b" },
  "data.parquet": { type: "application/octet-stream", bytes: Buffer.from([0, 1]) },
  "data.%2e%2e": { type: "application/octet-stream", bytes: Buffer.from([0, 1]) },
  large: { type: "text/html", bytes: large },
  "large-json": { type: "application/geo+json", bytes: JSON.stringify(large) },
  "at-the-bound": { type: "text/plain", bytes: "x".repeat(65_536) },
  controls: { type: "text/plain", bytes: "\x01".repeat(65_536) },
  gzip: { type: "text/plain", coding: "gzip", bytes: gzipSync("packed") },
  "x-gzip": { type: "text/plain", coding: "X-GZIP", bytes: gzipSync("packed") },
  deflate: { type: "text/plain", coding: "deflate", bytes: deflateSync("packed") },
  "deflate-raw": { type: "text/plain", coding: "deflate", bytes: deflateRawSync("packed") },
  br: { type: "text/plain", coding: "br", bytes: brotliCompressSync("packed") },
  identity: { type: "text/plain", coding: "identity", bytes: "plain" },
  empty: { type: "text/plain", bytes: "" },
  "empty-gzip": { type: "text/plain", coding: "gzip", bytes: "" },
};

const answers: Readonly<Record<string, RequestListener>> = {
  headers: (_request, response) => {
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.setHeader("X-Many", ["1", "2"]);
    response.setHeader("X-Utf8", Buffer.from("ü").toString("latin1"));
    response.setHeader("X-Latin1", "ü");
    response.setHeader("__proto__", "x");
    response.end();
  },
  head: (_request, response) => void response.writeHead(200, { "Content-Length": "12345" }).end(),
  none: (_request, response) => void response.writeHead(204).end(),
  missing: (_request, response) => void response.writeHead(404).end("no such thing"),
  broken: (_request, response) => void response.writeHead(500, { "Content-Type": "application/json" }).end('{"a":1}'),
  // As the proxy would say it.
  forbidden: (_request, response) =>
    void response
      .writeHead(403, { "Content-Type": "text/plain; charset=utf-8", "Proxy-Status": "tool-executor; error=x" })
      .end("denied plain.example.com:80\n"),
  endless: (request, response) => void pour(request, response),
  "till-the-end": ({ socket }) => void socket.end("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil it closes"),
  interim: ({ socket }) => {
    const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
    socket.end(`${hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`);
  },
};

/** Chunks, for as long as they are taken. */
function pour({ socket }: IncomingMessage, response: ServerResponse): void {
  const more = (): void => {
    while (!socket.destroyed && response.write(Buffer.alloc(64 * 1024, "x")));
  };
  response.on("drain", more);
  more();
}

const ground = forThisFile(() =>
  httpToolGround({
    allow: ["api.example.com", "plain.example.com:80"],
    answer(request, response) {
      const name = (request.url ?? "").slice(1);
      const own = answers[name];
      if (own !== undefined) return own(request, response);
      const { type, coding, bytes = "" } = given[name] ?? {};
      if (type !== undefined) response.setHeader("Content-Type", type);
      if (coding !== undefined) response.setHeader("Content-Encoding", coding);
      response.end(bytes);
    },
  }),
);

const get = (name: string) => ground().call({ url: `https://api.example.com/${name}` });

describe("a small body is in the value", () => {
  test.each<[string, "json" | "text", JsonValue]>([
    ["json", "json", { items: [1, 2.5, "ü"] }],
    ["problem", "json", { title: "no" }],
    ["json-null", "json", null],
    ["json-big", "text", '{"id": 12345678901234567890}'],
    ["json-proto", "text", '{"__proto__": 1}'],
    ["json-deep", "text", `${"[".repeat(30_000)}${"]".repeat(30_000)}`],
    ["json-half", "text", '"\\ud800"'],
    ["json-cut", "text", '{"a": '],
    ["json-many", "json", Array(32_001).fill(0)],
    ["text", "text", "grüß"],
    ["bom", "text", "grüß"],
    ["latin1", "text", "grüß"],
    ["utf-16", "text", "a,ü"],
    ["sjis", "text", "日本"],
    ["meta", "text", '<meta charset="iso-8859-1">ü'],
    ["xml", "text", '<?xml version="1.0" encoding="latin1"?>ü'],
    ["no-charset", "text", "ü"],
    ["spoiled", "text", "a\ufffdb"],
    ["unsaid", "text", "ü"],
    ["at-the-bound", "text", "x".repeat(65_536)],
    ["controls", "text", "\x01".repeat(65_536)],
    ["gzip", "text", "packed"],
    ["x-gzip", "text", "packed"],
    ["deflate", "text", "packed"],
    ["deflate-raw", "text", "packed"],
    ["br", "text", "packed"],
    ["identity", "text", "plain"],
    ["till-the-end", "text", "until it closes"],
    ["interim", "text", "ok"],
  ])("%s, as %s", async (name, as, body) => {
    const { code, stderr, value, files } = await get(name);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(value).toMatchObject({ status: 200, body_as: as, body_artifact: null, truncated: false });
    expect(value?.body).toEqual(body);
    expect(files).toEqual(new Map());
  });
});

describe("a large or binary body is an artifact", () => {
  test.each([
    ["large", "body.html"],
    ["large-json", "body.json"],
    ["png", "body.png"],
    ["nul", "body.txt"],
    ["unsaid-binary", "body.bin"],
    ["data.parquet", "body.parquet"],
    ["data.%2e%2e", "body.bin"],
  ])("%s is %s, byte by byte", async (name, artifact) => {
    const { code, value, files } = await get(name);
    const bytes = Buffer.from(given[name]?.bytes ?? "");
    expect(code).toBe(0);
    expect(value).toMatchObject({
      ...{ body_as: "artifact", body: null, body_artifact: artifact, body_bytes: bytes.length, truncated: false },
    });
    expect([...files.keys()]).toEqual([artifact]);
    expect(files.get(artifact)?.equals(bytes)).toBe(true);
  });

  test("F20 an endless one is cut at what may be kept, and says so", async () => {
    const call = await ground().call({ url: "https://api.example.com/endless" }, { limits: { output_mb: 2 } });
    const bytes = 2 * 1024 * 1024 - 256 * 1024;
    expect(call.value).toMatchObject({ body_as: "artifact", body_bytes: bytes, truncated: true });
    expect(call.files.get("body.bin")?.length).toBe(bytes);
  });

  test("at most 10 MiB of it, however much room there is", async () => {
    const call = await ground().call({ url: "http://plain.example.com/endless" }, { limits: { output_mb: 1024 } });
    expect(call.value).toMatchObject({ body_bytes: 10 * 1024 * 1024, truncated: true });
  });
});

test.each(["empty", "empty-gzip", "none"])("there may be no body: %s", async (name) => {
  expect((await get(name)).value).toMatchObject({ body_as: "none", body: null, body_artifact: null, body_bytes: 0 });
});

test("HEAD has no body, whatever length it tells", async () => {
  const { value } = await ground().call({ method: "HEAD", url: "https://api.example.com/head" });
  expect(value).toMatchObject({ status: 200, body_as: "none", headers: { "content-length": "12345" } });
});

test.each([
  ["missing", 404, "no such thing"],
  ["broken", 500, { a: 1 }],
  ["forbidden", 403, "denied plain.example.com:80\n"],
])("an answer with an error's status is an answer: %s", async (name, status, body) => {
  for (const place of ["https://api.example.com", "http://plain.example.com"]) {
    const { code, value } = await ground().call({ url: `${place}/${name}` });
    expect(code).toBe(0);
    expect(value).toMatchObject({ status, body });
  }
});

test("headers are by name in lower case, all of them, and text", async () => {
  const { value } = await get("headers");
  expect(value?.headers).toEqual({
    ...{ "set-cookie": ["a=1", "b=2"], "x-many": "1, 2", "x-utf8": "ü", "x-latin1": "ü" },
    ...{ date: expect.any(String), "content-length": "0" },
  });
});

describe("what is sent", () => {
  test.each<[string, JsonValue, string, string]>([
    ["a string as text", "grüß", "text/plain; charset=utf-8", "grüß"],
    ["an object as JSON", { a: [1, "ü"] }, "application/json", '{"a":[1,"ü"]}'],
    ["a number as JSON", 7, "application/json", "7"],
  ])("%s", async (what, body, type, sent) => {
    const path = `/sent-${what.replaceAll(" ", "-")}`;
    for (const origin of ["https://api.example.com", "http://plain.example.com"])
      expect((await ground().call({ url: origin + path, body })).code).toBe(0);
    const heard = ground().heard.filter(({ target }) => target.endsWith(path));
    expect(heard.map(({ scheme }) => scheme)).toEqual(["https", "http"]);
    for (const request of heard)
      expect(request).toMatchObject({ method: "POST", headers: { "content-type": type }, body: sent });
  });

  test("method and headers as they were given, before those of ours", async () => {
    const headers = { "Content-Type": "text/csv", "X-Own": "1", Accept: "text/csv", Authorization: "Bearer t" };
    await ground().call({ method: "PUT", url: "https://api.example.com/own?a=%20b#part", headers, body: "a,b" });
    expect(ground().heard.find(({ target }) => target.includes("/own"))).toMatchObject({
      ...{ method: "PUT", target: "api.example.com/own?a=%20b", body: "a,b" },
      headers: {
        ...{ host: "api.example.com", "content-type": "text/csv", "x-own": "1", accept: "text/csv" },
        ...{ authorization: "Bearer t", "user-agent": "tool-executor", "accept-encoding": "gzip, deflate, br" },
      },
    });
  });
});
