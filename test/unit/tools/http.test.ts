import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../src/model/task.ts";
import { httpTool } from "../../../src/tools/http/http.ts";
import { retryClass } from "../../../src/tools/tool.ts";
import { toolProblems } from "../../../src/tools/tool-problems.ts";
import { aTask } from "../../support/samples.ts";

const url = "https://api.example.com/";
const command = (payload: JsonObject, limits: object = {}) =>
  httpTool().command(aTask({ tool_name: "http", payload, limits: { ...aTask().limits, ...limits } }));

/** What the program in the sandbox is told. */
function asked(payload: JsonObject, limits: object = {}): unknown {
  const file = command(payload, limits).files.find(({ path }) => path === ".toolx-http/request.json");
  return JSON.parse(Buffer.from(file?.bytes ?? "").toString());
}

describe("http", () => {
  test("starts its own program in the node image, from a folder of its own", () => {
    const { argv, files, ...rest } = command({ url });
    expect(argv).toEqual(["node", "--use-openssl-ca", ".toolx-http/main.cjs"]);
    expect(rest).toEqual({ image: "node", env: { SSL_CERT_DIR: "/etc/ssl/certs" }, cwd: "/workspace" });
    expect(files.map(({ path }) => path)).toContain(".toolx-http/main.cjs");
    for (const { path } of files) expect(path).toMatch(/^\.toolx-http\/[a-z-]+\.(?:cjs|json)$/);
  });

  test("a request cannot put a file into that folder", () => {
    const files = [{ path: ".toolx-http/main.cjs", executable: false, content_base64: "" }];
    expect(() => httpTool().command(aTask({ payload: { url }, files }))).toThrow("the tool has a file of its own");
  });

  test("is never sent a second time, whatever the request says", () => {
    expect(retryClass(httpTool(), { retry: "safe" })).toBe("unsafe");
  });

  test("has schemas that are in order, with examples that fit", () => {
    expect(toolProblems(httpTool())).toEqual([]);
  });
});

describe("what is sent", () => {
  const defaults = { accept: "*/*", "accept-encoding": "gzip, deflate, br", "user-agent": "tool-executor" };

  test("has every default filled in, and ends before the task does", () => {
    expect(asked({ url })).toEqual({
      ...{ method: "GET", url, headers: defaults, body: null },
      ...{ totalMs: 29_000, maxBodyBytes: 10 * 1024 * 1024 },
    });
    expect(asked({ url }, { timeout_seconds: 1, output_mb: 1 })).toMatchObject({
      ...{ totalMs: 750, maxBodyBytes: 768 * 1024 },
    });
  });

  test.each<[string, JsonObject, JsonObject]>([
    ["a body is posted", { body: "x" }, { method: "POST", body: "x" }],
    ["a string is text", { body: "x" }, { headers: { "content-type": "text/plain; charset=utf-8" } }],
    ["an empty one too", { body: "" }, { method: "POST", body: "" }],
    ["another value is JSON", { body: [1] }, { body: "[1]", headers: { "content-type": "application/json" } }],
    ["so is false", { body: false }, { body: "false", headers: { "content-type": "application/json" } }],
    [
      "unless it is said to be another",
      { body: {}, headers: { "Content-Type": "application/x+json" } },
      { headers: { "content-type": "application/x+json" } },
    ],
    ["the caller's headers go first", { headers: { ACCEPT: " a/b " } }, { headers: { accept: "a/b" } }],
    ["DELETE may have a body", { method: "DELETE", body: "x" }, { method: "DELETE", body: "x" }],
    ["the fragment stays here", { url: `${url}a?b#c` }, { url: `${url}a?b` }],
    ["a URL is written as the standard has it", { url: "HTTPS://API.example.com:443/ü" }, { url: `${url}%C3%BC` }],
    ["a name of other letters too", { url: "http://bücher.example" }, { url: "http://xn--bcher-kva.example/" }],
  ])("%s", (_name, payload, expected) => {
    expect(asked({ url, ...payload })).toMatchObject(expected);
  });
});

describe("a payload that does not fit is refused with its path, and without what may be secret", () => {
  const form = "must be a whole URL of http:// or https://, without spaces, control characters and backslashes";
  test.each<[JsonObject, string, string]>([
    [{}, "/payload/url", "payload.url is missing"],
    ...[
      ...["", "/secret", "api.example.com/secret", "//api.example.com", "ftp://api.example.com/", "file:///secret"],
      ...["https:api.example.com", "https:///api.example.com", "javascript:secret", " https://api.example.com"],
      ...["https://api.example.com/a b", "https://api.example.com\\@secret", "https://api.example.com/\n", `${url}\0`],
      ...["https://api.example.com/\u0085", "https://\u00a0", "https://?secret", "https://#"],
    ].map((bad): [JsonObject, string, string] => [{ url: bad }, "/payload/url", form]),
    [{ url: 7 }, "/payload/url", "payload.url is 7, must be a string"],
    [{ url: `${url}${"x".repeat(8192)}` }, "/payload/url", "is 8216 bytes long, at most 8192"],
    [{ url: `${url}${"ü".repeat(2000)}` }, "/payload/url", "bytes long when it is escaped, at most 8192"],
    [{ url: "https://secret:pw@api.example.com/" }, "/payload/url", "has a user before its host"],
    [{ url: "https://secret@api.example.com" }, "/payload/url", "has a user before its host"],
    [{ url: "https://@api.example.com/" }, "/payload/url", "has a user before its host"],
    [{ url: "https://api.example.com:99999/" }, "/payload/url", "has no host and port that can be read"],
    [{ url: "https://[::secret]/" }, "/payload/url", "has no host and port that can be read"],
    [{ url: "https://a%00b/" }, "/payload/url", "has no host and port that can be read"],
    [{ url, methd: "GET" }, "/payload/methd", "did you mean method?"],
    [{ url, method: "get" }, "/payload/method", 'is "get", must be one of "GET", "HEAD"'],
    [{ url, method: "CONNECT" }, "/payload/method", "must be one of"],
    [{ url, method: "TRACE" }, "/payload/method", "must be one of"],
    [{ url, headers: [] }, "/payload/headers", "is an array, must be an object"],
    [{ url, headers: { "X-A": 1 } }, "/payload/headers/X-A", "is 1, must be a string"],
    [{ url, headers: { "X-A": "secret\r\nX-B: 1" } }, "/payload/headers/X-A", "must be printable ASCII"],
    [{ url, headers: { "X-A": "secret\0" } }, "/payload/headers/X-A", "must be printable ASCII"],
    [{ url, headers: { "X-A": "secret ü" } }, "/payload/headers/X-A", "must be printable ASCII"],
    [{ url, headers: { "X-A": "x".repeat(8193) } }, "/payload/headers/X-A", "is 8193 bytes long, at most 8192"],
    [{ url, headers: { "X A": "1" } }, "/payload/headers", 'has "X A", names are 1 to 256 letters'],
    [{ url, headers: { "": "1" } }, "/payload/headers", 'has "", names are 1 to 256 letters'],
    [{ url, headers: { "X:A": "1" } }, "/payload/headers", "names are 1 to 256 letters"],
    [{ url, headers: { "X\n": "1" } }, "/payload/headers", "names are 1 to 256 letters"],
    ...[
      ...["Host", "CONTENT-LENGTH", "transfer-encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade"],
      ...["Expect", "Proxy-Authorization", "Proxy-Connection", "HTTP2-Settings"],
    ].map((name): [JsonObject, string, string] => [
      { url, headers: { [name]: "secret" } },
      `/payload/headers/${name}`,
      "is for the tool or the proxy to set: leave it out",
    ]),
    [{ url, headers: { Accept: "a", accept: "b" } }, "/payload/headers/accept", "is there twice"],
    [
      { url, headers: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`X-${at}`, ""])) },
      "/payload/headers",
      "has 65 entries, at most 64",
    ],
    [
      { url, headers: { "X-A": "x".repeat(8000), "X-B": "x".repeat(8000) } },
      "/payload/headers",
      "and the URL have 16038 bytes, at most 15360",
    ],
    [{ url, body: null }, "/payload/body", "is null, must be a string or an object or an array"],
    [{ url, body: "x".repeat(1024 * 1024 + 1) }, "/payload/body", "is 1048577 bytes long, at most 1048576"],
    [{ url, body: ["x".repeat(1024 * 1024)] }, "/payload/body", "is 1048580 bytes long as JSON, at most 1048576"],
    [{ url, method: "GET", body: "secret" }, "/payload/body", "is given with GET, which has none"],
    [{ url, method: "HEAD", body: {} }, "/payload/body", "is given with HEAD, which has none"],
  ])("%#", (payload, path, message) => {
    const refusal = expect.objectContaining({
      code: "validation",
      message: expect.not.stringContaining("secret"),
      details: expect.arrayContaining([{ path, message: expect.stringContaining(message) }]),
    });
    expect(() => command(payload)).toThrow(refusal);
  });
});
