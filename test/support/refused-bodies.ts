import type { Reason } from "../../src/model/failure.ts";

/** A body that is no request we take: of its task nothing is stored. */
export interface RefusedBody {
  readonly row: string;
  readonly name: string;
  readonly body: (taskId: string) => string | Buffer;
  /** `too_large`: by the door itself, before it is a request. */
  readonly code: Reason | "too_large";
  /** The JSON pointer that the refusal names; null: none, the body as a whole. */
  readonly path: string | null;
}

/** A call that would run. */
export const callOf = (taskId: string, more: object = {}): string =>
  JSON.stringify({ task_id: taskId, tool_name: "shell", payload: { command: "true" }, ...more });

const raw = (row: string, name: string, body: string | Buffer, code: RefusedBody["code"] = "validation") => ({
  ...{ row, name, code, path: null },
  body: () => body,
});

const call = (row: string, name: string, path: string | null, more: object, code: Reason = "validation") => ({
  ...{ row, name, code, path },
  body: (taskId: string) => callOf(taskId, more),
});

const payload = (row: string, name: string, json: string, path: string | null) => ({
  ...{ row, name, path, code: "validation" as const },
  body: (taskId: string) => `{"task_id":"${taskId}","tool_name":"shell","payload":${json}}`,
});

const members = Array.from({ length: 500_000 }, (_, index) => `"k${index}":1`).join(",");

export const refusedBodies: readonly RefusedBody[] = [
  raw("G1", "not json", "not json"),
  raw("G1", "a byte that is no UTF-8", Buffer.from([0xff])),
  raw("G1", "nothing at all", ""),
  raw("G1", "a byte order mark", `\ufeff${callOf("bom")}`),
  raw("G1", "null", "null"),
  raw("G1", "[]", "[]"),
  raw("G1", '"x"', '"x"'),
  raw("G3", "10 MB", callOf("large", { stdin: "x".repeat(10_000_000) }), "too_large"),
  payload("G4", "100,000 nested arrays", `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, null),
  payload("G4", "half a million members", `{${members}}`, null),
  payload("G6", "1e400", '{"a":1e400}', "/payload/a"),
  payload("G6", "-0", '{"a":-0}', "/payload/a"),
  payload("G6", "2^53+1", '{"a":9007199254740993}', "/payload/a"),
  call("G6", '"10" for a number', "/limits/timeout_seconds", { limits: { timeout_seconds: "10" } }),
  call("G6", "1.5 for an integer", "/limits/pids", { limits: { pids: 1.5 } }),
  call("G7", "an unknown field", "/priorty", { priorty: 1 }),
  call("G7", "schema_version 99", "/schema_version", { schema_version: 99 }),
  call("G7", "a missing field", "/payload", { payload: undefined }),
  ...["", "x".repeat(10_000), "../../x", "a b", "🙂", "\u0000", "';--", "-leading"].map((id) =>
    call("G8", `the id ${JSON.stringify(id.slice(0, 20))}`, "/task_id", { task_id: id }),
  ),
  call("G8", "the tenant ../x", "/tenant_id", { tenant_id: "../x" }),
  call("G13", "not before a hundred years from now", "/not_before", { not_before: "2126-01-01T00:00:00Z" }),
  ...["evil.example/x", "x:latest", "localhost:5000/x", `x@sha256:${"0".repeat(64)}`, "--privileged", "../x"].map(
    (image) => call("G17", `the image ${image.slice(0, 20)}`, null, { image }, "policy_denied"),
  ),
  call("G18", "privileged", "/privileged", { privileged: true }),
  call("G18", "mounts", "/mounts", { mounts: ["/:/host"] }),
  call("G18", "the host's network", "/network", { network: "host" }),
  call("G18", "capabilities", "/cap_add", { cap_add: ["ALL"] }),
  call("G18", "devices", "/devices", { devices: ["/dev/kvm"] }),
  call("G18", "the host's processes", "/pid", { pid: "host" }),
  call("G18", "a runtime with an argument", null, { runtime: "runc --x" }, "policy_denied"),
  call("G20", "a variable named A=B", null, { env: { "A=B": "x" } }),
  call("G20", "a variable named with a line end", null, { env: { "A\n": "x" } }),
  call("G20", "a variable named nothing", null, { env: { "": "x" } }),
  call("G20", "50,000 variables", null, {
    env: Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`V${index}`, "x"])),
  }),
  ...["../*", "other/DB_URL", "*"].map((name) =>
    call("G22", `the secret ${name}`, "/secrets/0/name", { secrets: [{ name, as: "env" }] }, "policy_denied"),
  ),
  ...["http://169.254.169.254/", "http://127.0.0.1:2375/", "file:///etc/shadow"].map((callback_url) =>
    call("G23", `a callback to ${callback_url}`, "/callback_url", { callback_url }, "policy_denied"),
  ),
];
