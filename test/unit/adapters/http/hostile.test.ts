import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ExecutorError } from "../../../../src/model/failure.ts";
import type { FoundTask, ServerFront } from "../../../../src/ports/front.ts";
import { newApiKey, opens } from "../../../../src/schema/api-key.ts";
import { type BareDoor, bareDoor } from "../../../support/bare-door.ts";
import { requestHead as head, strangersRequests, unclearRequests } from "../../../support/unclear-requests.ts";

const theTask: FoundTask = {
  summary: {
    tenant_id: "acme",
    task_id: "t-1",
    tool_name: "shell",
    state: "RUNNING",
    reason: null,
    attempt: 1,
    cancel_requested: false,
    received_at: "2026-01-01T00:00:00.000Z",
    started_at: null,
    finished_at: null,
  },
  resultBytes: null,
};

/** Knows one task, of the tenant acme. */
const front: Partial<ServerFront> = {
  get: async ({ tenantId, taskId }) => (tenantId === "acme" && taskId === "t-1" ? theTask : null),
  cancel: async ({ tenantId, taskId }) =>
    tenantId === "acme" && taskId === "t-1" ? { kind: "asked" } : { kind: "unknown" },
  submit: async (request) => {
    if (!(request instanceof Uint8Array)) throw new Error("no bytes");
    throw new ExecutorError("validation", "refused behind the front");
  },
};

let open: BareDoor;
beforeEach(async () => {
  open = await bareDoor(front);
});
afterEach(async () => {
  await open[Symbol.asyncDispose]();
});

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);

/** The body of the first answer. */
const bodyOf = (answer: string): string => answer.split("\r\n\r\n")[1] ?? "";

describe("what is no clear request is answered with 4xx and the connection is closed", () => {
  test.each(unclearRequests)("%s %s", async (_row, _name, bytes, status) => {
    const answer = await open.raw(bytes);
    expect(statusOf(answer)).toBe(status);
    expect(answer).not.toMatch(/node_modules|at .+:\d+:\d+/);
    expect(open.failures).toEqual([]);
    expect((await fetch(`${open.url}/healthz`)).status).toBe(200);
  });

  test("G28 an upgrade to h2c or a WebSocket is not taken up", async () => {
    const upgrade = head("GET /healthz HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade, close", "HTTP2-Settings: AAAA");
    expect(statusOf(await open.raw(upgrade))).toBe(200);
  });
});

describe("a body that is refused before it has come whole", () => {
  const bytes = 64 << 20;
  const opening = head("POST /v1/tasks HTTP/1.1", "Content-Type: application/json", `Content-Length: ${bytes}`);

  test("G3 who reads only when all is written has the answer", async () => {
    const socket = connect(Number(new URL(open.url).port), "127.0.0.1");
    await once(socket, "connect");
    socket.write(opening);
    const written = new Promise((resolve, reject) =>
      socket.write(Buffer.alloc(bytes), (error) => (error ? reject(error) : resolve(null))),
    );
    await written;
    expect(statusOf(await text(socket))).toBe(413);
  });

  test("G24 who writes without an end is cut off", { timeout: 30_000 }, async () => {
    const port = Number(new URL(open.url).port);
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined).resume();
    socket.write(opening.replace(String(bytes), "9".repeat(15)));
    const part = Buffer.alloc(65536);
    const writeOn = (error?: Error | null): unknown => error ?? socket.write(part, writeOn);
    writeOn();
    await closed;
  });
});

describe("a request that is longer, packed, or of another kind than it may be", () => {
  const json = { "content-type": "application/json" };
  test.each<[string, string, RequestInit, number]>([
    ["G24 a body over the cap", "/v1/tasks", { method: "POST", headers: json, body: "x".repeat(5 << 20) }, 413],
    [
      "G29 a packed body",
      "/v1/tasks",
      { method: "POST", headers: { ...json, "content-encoding": "gzip" }, body: gzipSync("{}") },
      415,
    ],
    [
      "G24 a form",
      "/v1/tasks",
      { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "a=1" },
      415,
    ],
    ["G24 no type", "/v1/tasks", { method: "POST", body: new Uint8Array([1]) }, 415],
    ["G24 a doubled slash", "//v1/tasks", {}, 404],
    ["G24 a dotted path", "/v1/%2e%2e/v1/tasks/t-1", {}, 404],
    ["G24 an encoding that is none", "/v1/tasks/%ff", {}, 400],
    ["G24 another case", "/V1/tasks/t-1", {}, 404],
    ["G24 a task of dots", "/v1/tasks/..%2f..%2fetc", {}, 404],
    ["a file of another name", "/v1/files/..%2fx", { method: "PUT", body: "x" }, 400],
    ["a method nobody has", "/v1/tasks/t-1", { method: "PATCH" }, 404],
  ])("%s", async (_name, path, init, status) => {
    const answer = await fetch(`${open.url}${path}`, init);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toMatch(/^application\/problem\+json/);
    expect(await answer.json()).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) });
  });

  test("a body that is refused half-way is not read on, nor taken for the next request", async () => {
    const smuggled = head("GET /v1/tools HTTP/1.1");
    const first = head("POST /v1/tasks HTTP/1.1", "Content-Type: text/plain", "Content-Length: 1000000");
    const answer = await open.raw(first + smuggled);
    expect(statusOf(answer)).toBe(415);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });
});

describe("G31 a browser that works for somebody else", () => {
  test.each(strangersRequests)("%s: 403", async (_name, bytes) => {
    expect(statusOf(await open.raw(bytes))).toBe(403);
  });

  test("our own names are answered", async () => {
    for (const host of ["localhost", "LOCALHOST:7", "127.0.0.1", "[::1]:99"]) {
      const bytes = `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      expect(statusOf(await open.raw(bytes)), host).toBe(200);
    }
  });
});

describe("G26 API keys and tenants", () => {
  const bearer = (text: string): RequestInit => ({ headers: { authorization: `Bearer ${text}` } });
  const keyFor = (tenantId: string, expiresAt: number | null = null) => {
    const { text, record } = newApiKey(tenantId, 0, expiresAt);
    open.keys.put(record);
    return { text, record };
  };
  const status = async (path: string, init: RequestInit): Promise<number> =>
    (await fetch(`${open.url}${path}`, init)).status;

  test("where no key was made, whoever is on this machine is the tenant default", async () => {
    expect(await status("/v1/tools", {})).toBe(200);
    expect(await status("/v1/tasks/t-1", {})).toBe(404);
  });

  test("a key opens its tenant's tasks; another tenant's are as if they were not", async () => {
    const acme = keyFor("acme").text;
    const other = keyFor("other").text;
    expect(await status("/v1/tasks/t-1", bearer(acme))).toBe(200);
    const asks = (id: string) => fetch(`${open.url}/v1/tasks/${id}`, bearer(other));
    const [theirs, nobodys] = await Promise.all([asks("t-1"), asks("t-2")]);
    expect([theirs.status, nobodys.status]).toEqual([404, 404]);
    expect(await theirs.text()).toBe(await nobodys.text());
    for (const path of ["events", "logs", "artifacts", "artifacts/x"])
      expect(await status(`/v1/tasks/t-1/${path}`, bearer(other)), path).toBe(404);
    const cancel = (id: string) => fetch(`${open.url}/v1/tasks/${id}`, { method: "DELETE", ...bearer(other) });
    const [known, unknown] = await Promise.all([cancel("t-1"), cancel("t-2")]);
    expect([known.status, unknown.status]).toEqual([202, 202]);
    expect((await known.text()).replace("t-1", "t-2")).toBe(await unknown.text());
    expect(await status("/v1/tasks/t-1?tenant_id=acme", bearer(other))).toBe(403);
  });

  test("no key, a wrong, forged, revoked or expired one: 401, all with the same words", async () => {
    const { text, record } = keyFor("acme");
    const expired = keyFor("acme", 1).text;
    const revoked = keyFor("acme");
    open.keys.put({ ...revoked.record, revokedAt: 1 });
    const wrong = [
      `${text.slice(0, -1)}${text.endsWith("A") ? "B" : "A"}`,
      `tx_${"0".repeat(12)}_${"a".repeat(43)}`,
      `tx_${record.id}_`,
      record.secretSha256,
      "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJhY21lIn0.",
      expired,
      revoked.text,
      "../../keys",
    ];
    const words = new Set<string>();
    for (const each of wrong) {
      const answer = await fetch(`${open.url}/v1/tasks/t-1`, bearer(each));
      expect(answer.status, each).toBe(401);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      words.add(await answer.text());
    }
    expect(words.size).toBe(1);
    expect(await status("/v1/tasks/t-1", {})).toBe(401);
    expect(await status("/v1/tools", {})).toBe(401);
    expect(await status("/v1/tasks/t-1", { headers: { authorization: `Basic ${text}` } })).toBe(401);
  });

  test("the secret is compared in one place, by its hash, for as long when the key is not known", () => {
    const src = join(import.meta.dirname, "../../../../src");
    const sources = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
    const text = (path: string): string => readFileSync(join(src, path), "utf8");
    expect(sources.filter((path) => text(path).includes("secretSha256")).sort()).toEqual([
      "adapters/disk/api-keys-folder.ts",
      "model/api-key.ts",
      "schema/api-key.ts",
    ]);
    // The folder checks the shape of a stored hash, and compares nothing.
    expect(text("adapters/disk/api-keys-folder.ts")).not.toMatch(/secretSha256\s*[!=]=/);
    expect(text("schema/api-key.ts")).not.toMatch(/(secret|expected)\w*\s*[!=]=|[!=]=+\s*(secret|expected)/i);
    expect(text("schema/api-key.ts")).toContain("timingSafeEqual(sha256(secret), expected)");
    // Nobody is let in before that comparison.
    expect(opens(null, "x".repeat(43), 0)).toBe(false);
  });

  test("a door that was once locked does not open again when the last key is revoked", async () => {
    const { record } = keyFor("acme");
    open.keys.put({ ...record, revokedAt: 1 });
    expect(await status("/v1/tools", {})).toBe(401);
  });
});

describe("G32 what needs no key", () => {
  test("tells of no task, tenant or path, whatever was asked before", async () => {
    for (let number = 0; number < 50; number += 1)
      await fetch(`${open.url}/v1/tasks/secret-${number}/artifacts/passwd-${number}`);
    const texts = await Promise.all(
      ["/metrics", "/healthz", "/readyz"].map(async (path) => (await fetch(`${open.url}${path}`)).text()),
    );
    expect(texts.join()).not.toMatch(/secret-|passwd|acme/);
    expect(texts[0]?.match(/route="/g)?.length).toBeLessThan(20);
  });

  test("what is missing is named; why is for whoever sits on this machine", async () => {
    await using door = await bareDoor(front, {
      readiness: async () => ({ missing: [{ name: "store", why: "/secret/path is gone" }] }),
    });
    const answer = await fetch(`${door.url}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: "not ready", missing: [{ name: "store" }] });
  });

  test("a failure that nobody foresaw says nothing of itself", async () => {
    await using door = await bareDoor({ get: () => Promise.reject(new Error("password=hunter2 at /root/x.ts:1:1")) });
    const answer = await fetch(`${door.url}/v1/tasks/t-1`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toMatch(/hunter2|root/);
    expect(door.failures).toHaveLength(1);
  });
});

describe("a neighbour that is away", () => {
  const away = (neighbour: "store" | "buffer" | "objects" | "secrets") =>
    new ExecutorError("internal", `task store db.internal:5432/tools: no answer`, {
      ...{ away: neighbour, hint: "look at DATABASE_URL" },
      details: [{ path: "/state", message: "attempt 1 has ended" }],
    });

  test.each([
    ["store", "the task store cannot be used"],
    ["buffer", "neither the task store nor the buffer"],
    ["objects", "the object store cannot be used"],
    ["secrets", "the secret store cannot be used"],
  ] as const)(
    "is named and waited for (%s), and its address is for whoever sits on this machine",
    async (name, said) => {
      await using door = await bareDoor({ get: () => Promise.reject(away(name)) });
      const answer = await fetch(`${door.url}/v1/tasks/t-1`);
      expect(answer.status).toBe(503);
      expect(answer.headers.get("retry-after")).toBe("1");
      const text = await answer.text();
      expect(text).not.toMatch(/db\.internal|DATABASE_URL/);
      expect(JSON.parse(text)).toMatchObject({
        ...{ code: "unavailable", status: 503, retryable: true, detail: expect.stringContaining(said) },
        details: [{ path: "/state", message: "attempt 1 has ended" }],
      });
      const local = connect(door.socketPath);
      local.write(head("GET /v1/tasks/t-1 HTTP/1.1", "Connection: close"));
      const parts: Buffer[] = [];
      for await (const part of local) parts.push(part as Buffer);
      expect(Buffer.concat(parts).toString()).toContain("db.internal:5432/tools: no answer");
      // The log has it already, once.
      expect(door.failures).toEqual([]);
    },
  );
});

describe("peers that take their time", () => {
  test("more connections than are allowed are closed as they come", async () => {
    await using door = await bareDoor(front, { maxConnections: 2 });
    const port = Number(new URL(door.url).port);
    const held = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    await Promise.all(held.map((socket) => once(socket, "connect")));
    const third = connect(port, "127.0.0.1");
    third.on("error", () => undefined);
    await once(third, "close");
    for (const socket of held) socket.destroy();
  });

  test("one that never ends its headers is closed within 15 s, and so is one that never begins", async () => {
    const startedAt = performance.now();
    const half = open.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
    const silent = open.raw("");
    expect(statusOf(await half)).toBe(408);
    expect(await silent).toMatch(/^(HTTP\/1\.1 408 .*)?/s);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  }, 20_000);

  test("G33 whoever goes away while they wait takes nothing with them", async () => {
    const waits: AbortSignal[] = [];
    await using door = await bareDoor({
      get: (_key, _waitMs, signal) => {
        waits.push(signal);
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        );
      },
    });
    const stop = new AbortController();
    const asked = fetch(`${door.url}/v1/tasks/t-1?wait=60s`, { signal: stop.signal }).catch(() => null);
    await expect.poll(() => waits.length).toBe(1);
    stop.abort();
    await asked;
    await expect.poll(() => waits[0]?.aborted).toBe(true);
  });
});

test("whoever waits while the server ends is told so, and streams end", async () => {
  const door = await bareDoor({
    get: (_key, waitMs, signal) =>
      waitMs === 0
        ? Promise.resolve(theTask)
        : new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
    async *events(_key, _after, _follow, signal) {
      yield { kind: "state", state: "QUEUED", attempt: 0 };
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  });
  const waiting = fetch(`${door.url}/v1/tasks/t-1?wait=60s`);
  const streaming = await fetch(`${door.url}/v1/tasks/t-1/events`);
  const closed = door[Symbol.asyncDispose]();
  const answer = await waiting;
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ code: "shutting_down", retryable: true });
  expect(await streaming.text()).toBe('{"event":"state","attempt":0,"state":"QUEUED"}\n');
  await closed;
  expect(door.failures).toEqual([]);
});

test("the local socket needs no key, and may name any tenant", async () => {
  open.keys.put(newApiKey("acme", 0, null).record);
  const socket = connect(open.socketPath);
  socket.write(head("GET /v1/tasks/t-1?tenant_id=acme HTTP/1.1", "Connection: close"));
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  const answer = Buffer.concat(parts).toString();
  expect(statusOf(answer)).toBe(200);
  expect(JSON.parse(bodyOf(answer))).toMatchObject({ tenant_id: "acme" });
});
