import { request as httpRequest } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type HostCallContext, type HostService, servicesFor } from "../../../src/executor/host-calls.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { hostGround, post } from "../../support/host-ground.ts";

const echo: HostService = async (body, { tenantId }) => ({ tenantId, body });
/** Answers when it is told to. */
function slow() {
  const waiting: { readonly context: HostCallContext; readonly answer: (value: string) => void }[] = [];
  const service: HostService = (_body, context) =>
    new Promise((resolve) => void waiting.push({ context, answer: resolve }));
  return { service, waiting };
}
const answerOf = (heard: string) => {
  const [head = "", body = ""] = heard.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body: JSON.parse(body) };
};

describe("a call", () => {
  test("is answered with JSON, as the tenant of the task whatever its body says", async () => {
    using ground = hostGround({ echo });
    const caller = ground.connect(post("/echo", '{"tenantId": "other"}'));
    await caller.hears("acme");
    expect(answerOf(caller.heard())).toMatchObject({
      status: 200,
      head: expect.stringContaining("Content-Type: application/json"),
      body: { tenantId: "acme", body: { tenantId: "other" } },
    });
  });

  test("of an ordinary client is understood, many on one connection, in pieces too", async () => {
    using ground = hostGround({ echo });
    const caller = ground.connect();
    for (let index = 0; index < 3; index++) {
      const outgoing = httpRequest({ createConnection: () => caller.stream, method: "POST", path: "/echo" });
      outgoing.setHeader("Connection", "keep-alive");
      outgoing.write('{"n":');
      outgoing.end(`${index}}`);
      const body = await new Promise<string>((resolve, reject) => {
        outgoing.once("response", (response) => void text(response).then(resolve, reject));
        outgoing.once("error", reject);
      });
      expect(JSON.parse(body)).toEqual({ tenantId: "acme", body: { n: index } });
    }
  });

  test("behind another is answered in its turn", async () => {
    using ground = hostGround({ echo });
    const caller = ground.connect(post("/echo", "1") + post("/echo", "2") + post("/nowhere", "3"));
    await caller.hears("nothing answers");
    expect(caller.heard()).toMatch(/"body":1.*"body":2.*not_found/s);
  });
});

describe("a call that is none is refused in JSON, with what is wrong", () => {
  test.each([
    ["another name", post("/nowhere", "{}"), 404, "not_found", 'nothing answers at "/nowhere"; there is /echo'],
    ["a name that every object has", post("/constructor", "{}"), 404, "not_found", "nothing answers"],
    ["a name with more behind it", post("/echo?x=1", "{}"), 404, "not_found", "nothing answers"],
    ["a whole URL", post("http://echo/echo", "{}"), 404, "not_found", "nothing answers"],
    ["another method", "GET /echo HTTP/1.1\r\n\r\n", 405, "method_not_allowed", '"GET" /echo is not answered'],
    ["no JSON", post("/echo", "{"), 422, "validation", "request is no JSON"],
    ["no body", post("/echo", ""), 422, "validation", "request is no JSON"],
    [
      "bytes that are no UTF-8",
      Buffer.from(post("/echo", '"x"').replace("x", "\xff"), "latin1"),
      422,
      "validation",
      "no JSON",
    ],
    ["JSON too deep", post("/echo", "[".repeat(100)), 422, "validation", "nested deeper than 32 levels"],
    ["a long body", post("/echo", "").replace("Length: 0", "Length: 1048577"), 413, "body_too_large", "at|longer"],
    ["long headers", post("/echo", "{}", [`X: ${"x".repeat(70_000)}`]), 431, "header_too_large", "longer than 65536"],
    ["no HTTP", "SSH-2.0-x\r\n\r\n", 400, "bad_request", "no valid HTTP/1.1"],
    ["two lengths", post("/echo", "{}", ["Content-Length: 3"]), 400, "bad_request", "no valid HTTP/1.1"],
    [
      "a length and pieces",
      post("/echo", "{}", ["Transfer-Encoding: chunked"]),
      400,
      "bad_request",
      "no valid HTTP/1.1",
    ],
  ])("%s", async (_what, sent, status, code, message) => {
    using ground = hostGround({ echo });
    const caller = ground.connect(sent);
    await caller.hears('"hint"');
    expect(answerOf(caller.heard())).toMatchObject({
      status,
      body: { error: { code, message: expect.stringMatching(message), hint: null } },
    });
    expect(ground.failures).toEqual([]);
  });

  test("a body without a told length stops where it is too long", async () => {
    using ground = hostGround({ echo });
    const caller = ground.connect("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    const piece = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    for (let index = 0; index < 17; index++) caller.stream.write(piece);
    await caller.hears("body_too_large");
    expect(caller.heard()).toContain("413");
  });
});

describe("a service that does not answer", () => {
  test("says why only where it is the task's to know", async () => {
    using ground = hostGround({
      async picky() {
        throw new ExecutorError("validation", "query is empty", { hint: "say something" });
      },
    });
    const caller = ground.connect(post("/picky", "{}"));
    await caller.hears("say something");
    expect(answerOf(caller.heard())).toMatchObject({
      status: 422,
      body: { error: { code: "validation", message: "query is empty", hint: "say something" } },
    });
  });

  test.each([
    ["a database that is away", new ExecutorError("internal", "task store db.intern:5432", { away: "store" }), 503],
    ["a bug", new TypeError("cannot read db.intern"), 500],
    ["a tenant without a right", new ExecutorError("policy_denied", "db.intern"), 500],
  ])("tells of %s the operator, and the task nothing", async (_what, error, status) => {
    using ground = hostGround({
      async broken() {
        throw error;
      },
    });
    const caller = ground.connect(post("/broken", "{}"));
    await caller.hears("cannot answer now");
    expect(answerOf(caller.heard())).toMatchObject({ status, body: { error: { code: "internal" } } });
    expect(caller.heard()).not.toContain("intern:");
    expect(caller.heard()).not.toContain("db.");
    expect(ground.failures).toEqual([error]);
  });

  test("in time is given up, and hears that nobody waits", async () => {
    const { service, waiting } = slow();
    using ground = hostGround({ slow: service }, { callMs: 20 });
    const caller = ground.connect(post("/slow", "{}"));
    await caller.hears("no answer within 20 ms");
    expect(answerOf(caller.heard())).toMatchObject({ status: 504, body: { error: { code: "timeout" } } });
    expect(waiting[0]?.context.signal.aborted).toBe(true);
  });

  test("when its caller goes away hears it", async () => {
    const { service, waiting } = slow();
    using ground = hostGround({ slow: service });
    const caller = ground.connect(post("/slow", "1") + post("/slow", "2"));
    await expect.poll(() => waiting.length).toBe(2);
    caller.stream.end();
    await expect.poll(() => waiting.every(({ context }) => context.signal.aborted)).toBe(true);
  });
});

describe("what a task may hold open is bounded", () => {
  test("a connection that says nothing, or half of a request, is closed", async () => {
    using ground = hostGround({ echo }, { idleMs: 20, callMs: 50 });
    await ground.connect().closed();
    await ground.connect("POST /echo HTTP/1.1\r\nX:").closed();
    const half = ground.connect('POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"a"');
    await half.hears("no answer within 50 ms");
    await half.closed();
  });

  test("so is one that has had its answer", async () => {
    using ground = hostGround({ echo }, { idleMs: 20 });
    const caller = ground.connect(post("/echo", "1"));
    await caller.hears("acme");
    await caller.closed();
  });

  test("one more connection than are allowed is closed, and one again when one has gone", async () => {
    const { service, waiting } = slow();
    using ground = hostGround({ slow: service }, { maxConnections: 2 });
    const [first] = [ground.connect(post("/slow", "1")), ground.connect(post("/slow", "2"))];
    await expect.poll(() => waiting.length).toBe(2);
    const third = ground.connect(post("/slow", "3"));
    await third.closed();
    expect(third.heard()).toBe("");
    waiting[0]?.answer("done");
    await first?.hears("done");
    first?.stream.destroy();
  });

  test("one more call at once than are allowed is refused, on one connection too", async () => {
    const { service, waiting } = slow();
    using ground = hostGround({ slow: service }, { maxCalls: 2 });
    const caller = ground.connect(post("/slow", "1") + post("/slow", "2") + post("/slow", "3"));
    await expect.poll(() => waiting.length).toBe(2);
    waiting[0]?.answer("one");
    waiting[1]?.answer("two");
    await caller.hears("quota");
    expect(caller.heard()).toMatch(/"one".*"two".*429.*at most 2/s);
  });

  test("a task has so many calls in all, refused ones too", async () => {
    using ground = hostGround({ echo }, { maxCallsInAll: 2 });
    await ground.connect(post("/echo", "1")).hears("acme");
    await ground.connect(post("/nowhere", "1")).hears("not_found");
    const third = ground.connect(post("/echo", "1"));
    await third.hears("the task has had its 2 calls");
    expect(third.heard()).toContain("429");
  });

  test("dispose, and the end of the task, close all", async () => {
    const ending = new AbortController();
    const { service, waiting } = slow();
    using ground = hostGround({ slow: service }, {}, ending.signal);
    const caller = ground.connect(post("/slow", "1"));
    await expect.poll(() => waiting.length).toBe(1);
    ending.abort(new Error("over"));
    await caller.closed();
    expect(waiting[0]?.context.signal.aborted).toBe(true);
    await ground.connect(post("/slow", "1")).closed();
    expect(waiting).toHaveLength(1);
  });
});

test("a tool gets the services that it names, and none that there is not", () => {
  const services = new Map([
    ["echo", echo],
    ["other", echo],
  ]);
  expect([...servicesFor(["echo"], services).keys()]).toEqual(["echo"]);
  expect(() => servicesFor(["nowhere"], services)).toThrow("a tool calls nowhere, which is no service of the host");
});
