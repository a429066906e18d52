import { describe, expect, test, vi } from "vitest";
import { forThisFile } from "../../support/for-this-file.ts";
import { httpToolGround } from "../../support/http-tool-ground.ts";

// Each case is a process of its own.
vi.setConfig({ testTimeout: 60_000 });

const api = "https://api.example.com";
const other = "https://other.example.com";
const plain = "http://plain.example.com";

/** `/to/STATUS/N?URL` leads to the URL; `/loop` to itself; whatever else is an answer. */
const ground = forThisFile(() =>
  httpToolGround({
    allow: ["api.example.com", "other.example.com", "inner.example.com", "http://plain.example.com"],
    addresses: { "inner.example.com": ["10.0.0.5"] },
    answer({ url = "", headers }, response) {
      const [, status, target] = /^\/to\/(\d+)\/[^?]*\?(.*)$/.exec(url) ?? [];
      if (target !== undefined)
        return void response
          .writeHead(Number(status), { Location: decodeURIComponent(target) })
          .end("x".repeat(100_000));
      if (url.startsWith("/loop")) {
        const turn = Number(url.slice("/loop".length));
        return void response.writeHead(302, { Location: `http://${headers.host}/loop${turn + 1}` }).end();
      }
      if (url === "/long") return void response.writeHead(302, { Location: `/${"x".repeat(8192)}` }).end();
      if (url === "/no-location") return void response.writeHead(302).end("stay");
      if (url === "/not-modified") return void response.writeHead(304, { Location: "/x" }).end();
      response.end("here");
    },
  }),
);

let count = 0;
/** A path that this case alone has. */
const toFrom = (status: number, target: string): string => {
  count += 1;
  return `/to/${status}/${count}?${encodeURIComponent(target)}`;
};

/** What the hosts heard of a call. */
async function followed(payload: Parameters<ReturnType<typeof ground>["call"]>[0]) {
  const before = ground().heard.length;
  const call = await ground().call(payload);
  return { ...call, heard: ground().heard.slice(before) };
}

describe("a redirect", () => {
  test.each<[number, string, string, boolean]>([
    [301, "POST", "GET", false],
    [302, "PUT", "GET", false],
    [303, "PATCH", "GET", false],
    [303, "HEAD", "HEAD", false],
    [302, "OPTIONS", "GET", false],
    [307, "POST", "POST", true],
    [308, "PUT", "PUT", true],
    [307, "DELETE", "DELETE", true],
  ])("of status %d makes %s to %s", async (status, method, next, keepsBody) => {
    const body = method === "HEAD" ? {} : { body: { a: 1 } };
    const { code, value, heard } = await followed({ method, url: api + toFrom(status, "/end"), ...body });
    expect(code).toBe(0);
    expect(heard.map((each) => each.method)).toEqual([method, next]);
    expect(heard[1]).toMatchObject({ target: "api.example.com/end", body: keepsBody ? '{"a":1}' : "" });
    expect(heard[1]?.headers["content-type"]).toBe(keepsBody ? "application/json" : undefined);
    expect(value).toMatchObject({ status: 200, url: `${api}/end`, redirects: [{ status }] });
  });

  test("is told with its URL, and may lead to another host and scheme", async () => {
    const second = toFrom(301, `${other}/end?q=1#part`);
    const first = toFrom(302, api + second);
    const { value, heard } = await followed({ url: plain + first });
    expect(value).toMatchObject({
      ...{ status: 200, url: `${other}/end?q=1`, body: "here" },
      redirects: [
        { status: 302, url: plain + first },
        { status: 301, url: api + second },
      ],
    });
    expect(heard.map(({ scheme, target }) => `${scheme} ${target}`)).toEqual([
      `http plain.example.com${first}`,
      `https api.example.com${second}`,
      "https other.example.com/end?q=1",
    ]);
  });

  test.each(["/no-location", "/not-modified"])("is none without a place to go: %s", async (path) => {
    const { value } = await followed({ url: api + path });
    expect(value).toMatchObject({ url: api + path, redirects: [] });
  });
});

describe("what looks like a credential stays at its origin", () => {
  const secrets = {
    Authorization: "Bearer t-1",
    Cookie: "session=t-2",
    "X-Api-Key": "t-3",
    "X-Auth-Token": "t-4",
    "Ocp-Apim-Subscription-Key": "t-5",
    "X-Amz-Security-Token": "t-6",
    "PRIVATE-TOKEN": "t-7",
    "X-Whatever": "t-8",
  };
  const harmless = { Accept: "text/html", "User-Agent": "agent/1", "Accept-Language": "de", Range: "bytes=0-9" };

  test.each([
    ["another host", api, other],
    ["TLS, from plain", plain, "https://api.example.com"],
  ])("when a redirect leads to %s", async (_where, from, to) => {
    const headers = { ...secrets, ...harmless };
    const back = `${from}/end`;
    const there = to + toFrom(307, from === plain ? `${to}/end` : back);
    const { code, value, heard } = await followed({ url: from + toFrom(307, there), headers });
    expect(code).toBe(0);
    expect(heard).toHaveLength(3);
    expect(JSON.stringify(heard[0])).toContain("t-8");
    // Nor does it come back.
    expect(JSON.stringify(heard.slice(1))).not.toMatch(/t-\d/);
    for (const { headers: its } of heard)
      expect(its).toMatchObject({ accept: "text/html", "user-agent": "agent/1", "accept-language": "de" });
    expect(value?.dropped_headers).toEqual(Object.keys(secrets).map((name) => name.toLowerCase()));
  });

  test("and goes on within it", async () => {
    const { value, heard } = await followed({ url: api + toFrom(302, `${api}:443/end`), headers: secrets });
    expect(heard[1]?.headers).toMatchObject({ authorization: "Bearer t-1", cookie: "session=t-2" });
    expect(value?.dropped_headers).toEqual([]);
  });
});

describe("F9 a redirect to where the task may not go ends it, with the proxy's words", () => {
  test.each([
    [`${other}:8443/`, 'denied other.example.com:8443: add it to network.allow: "other.example.com:8443"'],
    ["https://evil.example/", 'denied evil.example:443: add it to network.allow: "evil.example:443"'],
    ["http://evil.example/", 'denied evil.example:80: add it to network.allow: "evil.example:80"'],
    ["http://api.example.com:443/", "denied api.example.com:443: it is allowed for TLS only"],
    ["http://169.254.169.254/latest/meta-data/", "denied 169.254.169.254:80: it is an address"],
    ["http://0x7f.1/", "denied 127.0.0.1:80: it is an address"],
    ["http://[::ffff:127.0.0.1]/", ":80: it is an address"],
    ["http://metadata.google.internal/", "denied metadata.google.internal:80"],
    ["https://inner.example.com/", "denied inner.example.com:443: it leads to an address where no task may go"],
  ])("%s", async (target, words) => {
    const { code, stderr, value, files, heard } = await followed({ url: plain + toFrom(302, target) });
    expect({ code, value, files }).toEqual({ code: 1, value: null, files: new Map() });
    expect(stderr).toMatch(/^http: redirected by plain\.example\.com:80: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect(heard).toHaveLength(1);
    // Another address is never tried for a name.
    expect(ground().dialled).not.toContain("10.0.0.5 443");
  });
});

describe("a redirect that the tool does not follow", () => {
  test.each([
    ["http://plain.example.com/a?t=secret", "refused to go on from https: to http://plain.example.com"],
    ["file:///etc/passwd", "refused a URL of file:; only http: and https: are followed"],
    ["gopher://plain.example.com/x", "refused a URL of gopher:"],
    ["dict://plain.example.com/x", "refused a URL of dict:"],
    ["javascript:alert(1)", "refused a URL of javascript:"],
    ["data:text/plain,x", "refused a URL of data:"],
    ["https://user:pw@other.example.com/", "refused a URL with a user before its host"],
    ["https://", "the header location is no URL"],
    [`${api}/long`, "refused a URL longer than 8192 characters"],
  ])("to %s", async (target, words) => {
    const { code, stderr, value, heard } = await followed({ url: api + toFrom(302, target) });
    expect({ code, value }).toEqual({ code: 1, value: null });
    expect(stderr).toMatch(/^http: redirected by api\.example\.com:443: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect(stderr).not.toMatch(/secret|pw/);
    expect(heard.every(({ target: its }) => its.startsWith("api.example.com/"))).toBe(true);
  });

  test("F9 is the eleventh", async () => {
    const { code, stderr, heard } = await followed({ url: `${plain}/loop0` });
    expect(code).toBe(1);
    expect(stderr).toBe("http: there were more than 10 redirects, the last from plain.example.com:80\n");
    expect(heard).toHaveLength(11);
  });
});
