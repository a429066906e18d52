import { createHash } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cli, openCli } from "../support/cli.ts";
import { type Server, shellCall, startServer } from "../support/server.ts";

let toolx: Cli;
let server: Server;
beforeAll(async () => {
  toolx = await openCli();
  server = await startServer(toolx);
});
afterAll(async () => {
  try {
    server.process.child.kill("SIGTERM");
    expect((await server.process.ended()).code).toBe(0);
    expect(await toolx.leftovers()).toEqual([]);
  } finally {
    await toolx[Symbol.asyncDispose]();
  }
});

interface StreamEvent {
  readonly event: string;
  readonly id?: string;
  readonly seq?: number;
  readonly text?: string;
  readonly base64?: string;
  readonly state?: string;
  readonly gap?: { readonly from: number; readonly to: number; readonly bytes: number };
}

/** Events from `after` on, until `enough` or the end of the stream; then the connection is cut. */
async function events(taskId: string, after: string, enough: (seen: readonly StreamEvent[]) => boolean = () => false) {
  const { answer, request } = await server.open(`/v1/tasks/${taskId}/events?after=${after}`);
  expect(answer.headers["content-type"]).toBe("application/x-ndjson");
  const seen: StreamEvent[] = [];
  let rest = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      seen.push(JSON.parse(line));
      if (enough(seen)) {
        request.destroy();
        return seen;
      }
    }
  }
  return seen;
}

const outputs = (seen: readonly StreamEvent[]): readonly StreamEvent[] =>
  seen.filter(({ event }) => event === "output");
const bytesOf = ({ text, base64 }: StreamEvent): Buffer =>
  base64 === undefined ? Buffer.from(text ?? "") : Buffer.from(base64, "base64");
const joined = (seen: readonly StreamEvent[]): string => Buffer.concat(outputs(seen).map(bytesOf)).toString();

async function stored(taskId: string): Promise<readonly StreamEvent[]> {
  const { body } = await server.ask(`/v1/tasks/${taskId}/logs`);
  return body
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("the events of a task", () => {
  test("come live, go on where a reader left off, again and again, and are in the end what is stored", async () => {
    const lines = Array.from({ length: 30 }, (_, index) => `line ${index} ä€\n`);
    // Characters that are split between two writes, too.
    const command = `for i in $(seq 0 29); do printf "line $i "; printf '\\303'; sleep 0.03; printf '\\244€\\n'; done`;
    await server.submit(shellCall("t-live", command));
    const seen: StreamEvent[] = [];
    for (let last = "0", over = false; !over; ) {
      const some = await events("t-live", last, (all) => outputs(all).length >= 7);
      seen.push(...outputs(some));
      last = outputs(some).at(-1)?.id ?? last;
      over = some.at(-1)?.state === "FINISHED";
    }
    expect(joined(seen)).toBe(lines.join(""));
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    const log = await stored("t-live");
    expect(seen.map(({ seq, text, base64 }) => ({ seq, text, base64 }))).toEqual(
      log.map(({ seq, text, base64 }) => ({ seq, text, base64 })),
    );
    // After the end, from any place.
    const at = Math.floor(seen.length / 2);
    const middle = seen[at];
    const rest = await events("t-live", middle?.id ?? "");
    expect(outputs(rest).map(({ id }) => id)).toEqual(seen.slice(at + 1).map(({ id }) => id));
    expect(outputs(await events("t-live", String(middle?.seq)))).toEqual(outputs(rest));
    expect(rest.at(-1)).toEqual({ event: "state", attempt: 1, state: "FINISHED" });
  });

  test("have one gap in the place of a capped middle, after the end", async () => {
    const command = "head -c 4000000 /dev/zero | tr '\\0' a";
    await server.submit(shellCall("t-gap", command, { limits: { log_mb: 1 } }), "60s");
    const seen = await events("t-gap", "0");
    const gaps = seen.filter(({ event }) => event === "gap");
    expect(gaps).toHaveLength(1);
    expect(joined(seen).length + (gaps[0]?.gap?.bytes ?? 0)).toBe(4_000_000);
  });

  test("are server-sent events for whoever asks for them, and resume by Last-Event-ID", async () => {
    await server.submit(shellCall("t-sse", "echo one; sleep 0.3; echo two >&2"), "30s");
    const ask = (headers: Record<string, string>) =>
      server.ask("/v1/tasks/t-sse/events", { headers: { accept: "text/event-stream", ...headers } });
    const { headers, body } = await ask({});
    expect(headers["content-type"]).toBe("text/event-stream");
    const blocks = body
      .toString()
      .split("\n\n")
      .filter((block) => block !== "");
    expect(blocks).toHaveLength(3);
    expect(blocks[0]).toMatch(/^event: output\nid: 1\.\d+\ndata: \{"event":"output",.*"text":"one\\n"\}$/);
    expect(blocks[2]).toBe('event: state\ndata: {"event":"state","attempt":1,"state":"FINISHED"}');
    const id = /^id: (\S+)$/m.exec(blocks[0] ?? "")?.[1] ?? "";
    expect((await ask({ "last-event-id": id })).body.toString()).toBe(`${blocks.slice(1).join("\n\n")}\n\n`);
  });

  test("tell of progress while it happens", async () => {
    await server.submit(
      shellCall("t-progress", `sleep 1; echo '{"progress":0.5,"message":"half"}' >&$TOOL_PROGRESS_FD; sleep 0.5`),
    );
    const seen = await events("t-progress", "0");
    expect(seen).toContainEqual({ event: "progress", progress: 0.5, message: "half" });
  });

  test("a place that is none is refused with what it may be", async () => {
    await server.submit(shellCall("t-place", "true"), "30s");
    const { status, body } = await server.ask("/v1/tasks/t-place/events?after=soon");
    expect(status).toBe(422);
    expect(JSON.parse(body.toString())).toMatchObject({ code: "validation", details: [{ path: "?after" }] });
  });

  test("a reader that goes away leaves the task alone", async () => {
    await server.submit(shellCall("t-left", "echo a; sleep 1; echo b"));
    await events("t-left", "0", (seen) => outputs(seen).length === 1);
    expect(await server.result("t-left")).toMatchObject({ reason: "ok", output: { stdout: "a\nb\n" } });
  });
});

describe("files", () => {
  const content = Buffer.from("0123456789".repeat(100_000));
  const sha256 = createHash("sha256").update(content).digest("hex");
  const put = (name: string, body: Buffer) => server.ask(`/v1/files/${name}`, { method: "PUT", body });

  test("go in by their hash once, are used by name, and come out whole or by range", async () => {
    expect((await server.ask(`/v1/files/${sha256}`, { method: "HEAD" })).status).toBe(404);
    expect((await put(sha256, content)).status).toBe(201);
    expect((await put(sha256, content)).status).toBe(204);
    expect((await server.ask(`/v1/files/${sha256}`, { method: "HEAD" })).status).toBe(200);
    const files = [{ path: "in/data", sha256 }];
    await server.submit(
      shellCall("t-file", "mkdir /output/d; cp in/data /output/d/out.bin; echo >/output/x", { files }),
      "30s",
    );
    const { artifacts } = JSON.parse((await server.ask("/v1/tasks/t-file/artifacts")).body.toString());
    expect(artifacts).toContainEqual(
      expect.objectContaining({ path: "d/out.bin", size_bytes: content.length, sha256 }),
    );
    const at = "/v1/tasks/t-file/artifacts/d/out.bin";
    const whole = await server.ask(at);
    expect(whole.body.equals(content)).toBe(true);
    expect(whole.headers["content-disposition"]).toBe("attachment; filename*=UTF-8''out.bin");
    const range = async (bytes: string) => server.ask(at, { headers: { range: `bytes=${bytes}` } });
    const part = await range("10-13");
    expect([part.status, part.headers["content-range"], part.body.toString()]).toEqual([
      206,
      "bytes 10-13/1000000",
      "0123",
    ]);
    expect((await range("-3")).body.toString()).toBe("789");
    expect((await range("999998-")).body.toString()).toBe("89");
    expect((await range("1000000-")).status).toBe(416);
    expect((await server.ask("/v1/tasks/t-file/artifacts/d/..%2fout.bin")).status).toBe(404);
  });

  test("whose bytes are not what their name says are refused and not kept", async () => {
    const wrong = "0".repeat(64);
    const { status, body } = await put(wrong, Buffer.from("other"));
    expect(status).toBe(422);
    expect(JSON.parse(body.toString()).detail).toMatch(/^the 5 bytes that came have sha256 [0-9a-f]{64}, not 0{64}$/);
    expect((await server.ask(`/v1/files/${wrong}`, { method: "HEAD" })).status).toBe(404);
  });

  test("that break off in the middle are not kept", async () => {
    const name = createHash("sha256").update("never whole").digest("hex");
    const sending = request(`${server.url}/v1/files/${name}`, { method: "PUT", headers: { "content-length": "11" } });
    sending.on("error", () => undefined);
    sending.write("never");
    await once(sending, "socket");
    await expect.poll(async () => (await server.ask("/healthz")).status).toBe(200);
    sending.destroy();
    expect((await server.ask(`/v1/files/${name}`, { method: "HEAD" })).status).toBe(404);
    expect((await put(name, Buffer.from("never whole"))).status).toBe(201);
  });
});

describe("the list of tasks", () => {
  test("comes in pages, newest first, by state", async () => {
    for (const number of [1, 2, 3]) await server.submit(shellCall(`t-page-${number}`, "true"), "30s");
    const page = async (query: string) => JSON.parse((await server.ask(`/v1/tasks?${query}`)).body.toString());
    const ids = (tasks: readonly { readonly task_id: string }[]) => tasks.map(({ task_id }) => task_id);
    const first = await page("limit=2");
    expect(ids(first.tasks)).toEqual(["t-page-3", "t-page-2"]);
    const second = await page(`limit=1&cursor=${first.next_cursor}`);
    expect(ids(second.tasks)).toEqual(["t-page-1"]);
    expect((await page("state=unfinished")).tasks).toEqual([]);
    expect((await server.ask("/v1/tasks?limit=0")).status).toBe(422);
    expect((await server.ask("/v1/tasks?state=dead")).status).toBe(422);
  });
});

describe("one request", () => {
  test("may have its id in Idempotency-Key, in the body, or the same in both", async () => {
    const call = (body: object, key?: string) =>
      server.ask("/v1/tasks?wait=30s", {
        method: "POST",
        headers: { "content-type": "application/json", ...(key !== undefined && { "idempotency-key": key }) },
        body: JSON.stringify(body),
      });
    const { task_id: _id, ...nameless } = shellCall("x", "echo k") as { task_id: string };
    const first = await call(nameless, "t-key");
    expect(first.status).toBe(200);
    expect((await call({ ...nameless, task_id: "t-key" }, "t-key")).body).toEqual(first.body);
    expect((await call({ ...nameless, task_id: "t-other" }, "t-key")).status).toBe(422);
    expect((await call(nameless)).status).toBe(422);
  });

  test.each<[string, object, number, string]>([
    ["another request under a known id", { command: "echo 2" }, 409, "conflict"],
    ["a payload that is none", { command: 7 }, 422, "validation"],
  ])("%s", async (_name, payload, status, code) => {
    await server.submit(shellCall("t-first", "echo 1"), "30s");
    const answer = await server.submit({ task_id: "t-first", tool_name: "shell", payload });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ code });
  });

  test("for a tool or an image that is not there says which are", async () => {
    const tool = await server.submit({ task_id: "t-t", tool_name: "nothing", payload: {} });
    expect([tool.status, JSON.parse(tool.body.toString()).code]).toEqual([422, "unknown_tool"]);
    const image = await server.submit(shellCall("t-i", "true", { image: "evil.example/x" }));
    expect([image.status, JSON.parse(image.body.toString()).code]).toEqual([403, "policy_denied"]);
    expect((await server.ask("/v1/tasks/t-i")).status).toBe(404);
  });

  test("is described at /docs, every route of it", async () => {
    const { paths } = JSON.parse((await server.ask("/docs")).body.toString());
    expect(Object.keys(paths).sort()).toEqual(
      [
        ...["/healthz", "/metrics", "/readyz", "/v1/files/{sha256}", "/v1/tasks", "/v1/tasks/{id}"],
        ...[
          "/v1/tasks/{id}/artifacts",
          "/v1/tasks/{id}/artifacts/{*}",
          "/v1/tasks/{id}/events",
          "/v1/tasks/{id}/logs",
          "/v1/tasks/{id}/replay",
          "/v1/dead_letters",
          "/v1/dead_letters/{id}",
          "/v1/dead_letters/{id}/replay",
          "/v1/tools",
        ],
      ].sort(),
    );
  });
});
