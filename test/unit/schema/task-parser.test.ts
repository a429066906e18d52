import { describe, expect, test } from "vitest";
import { parseCallbackHosts } from "../../../src/model/callback-hosts.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { defaultLimitRules } from "../../../src/model/limits.ts";
import { taskParser } from "../../../src/schema/task-parser.ts";
import { aTask } from "../../support/samples.ts";

const callbackHosts = parseCallbackHosts("hooks.example,http://plain.example:8080") ?? [];
const now = Date.parse("2026-01-01T00:00:00Z");
const parse = taskParser({
  limitRules: defaultLimitRules,
  hostCpus: 2,
  maxBytes: 1024 * 1024,
  toolLimits: (tool) => (tool === "hungry" ? { memory_mb: 512, timeout_seconds: 1_000_000 } : {}),
  callbackHosts,
  now: () => now,
});
const least = { task_id: "t-1", tool_name: "shell", payload: { command: "true" } };

/** The refusal of a request, as callers see it. */
function refusal(body: unknown): ExecutorError {
  try {
    parse(body);
  } catch (error) {
    if (error instanceof ExecutorError) return error;
    throw error;
  }
  throw new Error(`not refused: ${JSON.stringify(body)}`);
}

describe("a request becomes a task", () => {
  test("with every default filled in, from bytes and from an object alike", () => {
    const task = aTask({ tenant_id: "default" });
    expect(parse(least)).toEqual(task);
    expect(parse(Buffer.from(JSON.stringify(least)))).toEqual(task);
  });

  test("with everything it says", () => {
    const request = {
      ...least,
      schema_version: 1,
      tenant_id: "acme",
      persona: "analyst",
      files: [
        { path: "data/in.csv", executable: false, content_base64: "YSxiCg==" },
        { path: "bin/run", executable: true, sha256: "0a".repeat(32) },
      ],
      stdin: "in",
      limits: { ...aTask().limits, timeout_seconds: 3600, cpus: 0.5 },
      env: { MODE: "ci", _A1: "" },
      image: "python",
      runtime: "runc",
      priority: 9,
      retry: "unsafe",
      not_before: "2026-01-08T00:00:00Z",
      expires_at: "2026-01-09T00:00:00.5+02:00",
      callback_url: "https://hooks.example/done",
      network: { allow: ["api.example.com:443"] },
      metadata: { correlation_id: "c-1" },
    };
    expect(parse(request)).toEqual(request);
  });

  test("a file is not executable unless it says so", () => {
    const files = [{ path: "a", content_base64: "" }];
    expect(parse({ ...least, files }).files).toEqual([{ path: "a", executable: false, content_base64: "" }]);
  });

  test("what is not built yet may be named as absent", () => {
    expect(parse({ ...least, network: {}, secrets: [], callback_url: null })).toEqual(aTask({ tenant_id: "default" }));
    expect(parse({ ...least, network: { allow: [] } })).toEqual(aTask({ tenant_id: "default" }));
  });

  test("a tool's own defaults count, below the installation's maximum and the request", () => {
    const limits = { ...aTask().limits, memory_mb: 512, timeout_seconds: 3600 };
    expect(parse({ ...least, tool_name: "hungry" }).limits).toEqual(limits);
    expect(parse({ ...least, tool_name: "hungry", limits: { memory_mb: 64 } }).limits.memory_mb).toBe(64);
  });

  test("a host of one CPU gives one at most", () => {
    const rules = { ...defaultLimitRules, cpus: { ...defaultLimitRules.cpus, byDefault: 4 } };
    const small = taskParser({
      limitRules: rules,
      hostCpus: 1,
      maxBytes: 1000,
      toolLimits: () => ({}),
      now: () => now,
    });
    expect(small(least).limits.cpus).toBe(1);
    expect(() => small({ ...least, limits: { cpus: 2 } })).toThrow("limits.cpus is 2, at most 1");
  });
});

describe("a refused request says where, with which value, and what is allowed", () => {
  test.each<[string, string, unknown, string]>([
    ["a missing field", "/tool_name", { task_id: "t", payload: {} }, "tool_name is missing"],
    ["an unknown field", "/priorty", { priorty: 1 }, "priorty is no known field, did you mean priority?"],
    ["a field of Docker's", "/privileged", { privileged: true }, "privileged is no known field; known: schema_version"],
    ["an unknown limit", "/limits/timeout", { limits: { timeout: 1 } }, "limits.timeout is no known field"],
    ["another version", "/schema_version", { schema_version: 99 }, "schema_version is 99, must be 1"],
    [
      "a limit over its maximum",
      "/limits/timeout_seconds",
      { limits: { timeout_seconds: 7200 } },
      "limits.timeout_seconds is 7200, at most 3600",
    ],
    ["a timeout of 0", "/limits/timeout_seconds", { limits: { timeout_seconds: 0 } }, "is 0, at least 1"],
    ["a timeout of -1", "/limits/timeout_seconds", { limits: { timeout_seconds: -1 } }, "is -1, at least 1"],
    [
      "a timeout of 1e12",
      "/limits/timeout_seconds",
      { limits: { timeout_seconds: 1e12 } },
      "is 1000000000000, at most 3600",
    ],
    [
      "a timeout that is text",
      "/limits/timeout_seconds",
      { limits: { timeout_seconds: "10" } },
      'is "10", must be an integer from 1 to 3600',
    ],
    [
      "a timeout of null",
      "/limits/timeout_seconds",
      { limits: { timeout_seconds: null } },
      "is null, must be an integer",
    ],
    [
      "a timeout of NaN",
      "/limits/timeout_seconds",
      { limits: { timeout_seconds: Number.NaN } },
      "is a number too large to hold",
    ],
    ["a fraction of a process", "/limits/pids", { limits: { pids: 1.5 } }, "limits.pids is 1.5, must be an integer"],
    ["more CPUs than the host has", "/limits/cpus", { limits: { cpus: 3 } }, "limits.cpus is 3, at most 2"],
    ["minus zero", "/priority", { priority: -0 }, "priority is -0, write 0"],
    [
      "an integer that would be rounded",
      "/metadata/n",
      { metadata: { n: 2 ** 53 } },
      "metadata.n is about 9007199254740992",
    ],
    ["a path as id", "/task_id", { task_id: "../../x" }, 'task_id is "../../x", must be 1 to 63 letters'],
    ["an empty id", "/task_id", { task_id: "" }, 'task_id is "", must be 1 to 63'],
    ["an id with a dash first", "/task_id", { task_id: "-rf" }, 'task_id is "-rf"'],
    ["an id of 64 letters", "/task_id", { task_id: "a".repeat(64) }, "must be 1 to 63 letters"],
    ["an id with an end of line", "/task_id", { task_id: "a\n" }, 'task_id is "a\\n"'],
    ["an emoji as tenant", "/tenant_id", { tenant_id: "😀" }, "tenant_id is"],
    ["a payload that is a list", "/payload", { payload: [] }, "payload is an array, must be an object"],
    ["a variable's name with =", "/env", { env: { "A=B": "1" } }, 'env has "A=B", names are letters, digits and _'],
    ["an empty variable name", "/env", { env: { "": "1" } }, 'env has "", names are letters'],
    ["a NUL in a variable", "/env/A", { env: { A: "a\0b" } }, "env.A is a string, must not hold a NUL"],
    [
      "too many variables",
      "/env",
      { env: Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [`A${n}`, ""])) },
      "env has 1001 entries, at most 1000",
    ],
    [
      "too long an environment",
      "/env",
      { env: { A: "x".repeat(131_072) } },
      "env is 131075 bytes long, at most 131072",
    ],
    [
      "too much metadata",
      "/metadata",
      { metadata: { a: "x".repeat(16_384) } },
      "metadata is 16392 bytes long, at most 16384",
    ],
    ["a network mode", "/network", { network: "host" }, 'network is "host", must be an object'],
    ["a retry class nobody knows", "/retry", { retry: "never" }, 'retry is "never", must be one of "safe", "unsafe"'],
    ["a time without its zone", "/not_before", { not_before: "2026-01-01T00:00:00" }, "must be an RFC 3339 time"],
    ["a month 13", "/expires_at", { expires_at: "2026-13-01T00:00:00Z" }, "which is no time of the calendar"],
    [
      "a start in eight days",
      "/not_before",
      { not_before: "2026-01-09T00:00:00Z" },
      "at most 7 days ahead (2026-01-08T00:00:00.000Z)",
    ],
    [
      "an end before the start",
      "/expires_at",
      { not_before: "2026-01-02T00:00:00Z", expires_at: "2026-01-01T00:00:00Z" },
      "the task could never run",
    ],
    ["half of a character", "/stdin", { stdin: "\ud800" }, "stdin has half of a surrogate pair"],
    [
      "bytes that are no base64",
      "/files/0/content_base64",
      { files: [{ path: "a", content_base64: "a*b=" }] },
      "files[0].content_base64 is no base64",
    ],
    ["unpadded base64", "/files/0/content_base64", { files: [{ path: "a", content_base64: "YQ" }] }, "is no base64"],
    [
      "a file without bytes",
      "/files/0/content_base64",
      { files: [{ path: "a" }] },
      "files[0].content_base64 is missing",
    ],
    ["a hash that is none", "/files/0/sha256", { files: [{ path: "a", sha256: "0" }] }, "must be 64 lower-case hex"],
    [
      "bytes and a hash",
      "/files/0/content_base64",
      { files: [{ path: "a", content_base64: "", sha256: "0a".repeat(32) }] },
      "must not be given beside sha256",
    ],
    [
      "a path that climbs",
      "/files/0/path",
      { files: [{ path: "a/../../x", content_base64: "" }] },
      'files[0].path is "a/../../x"',
    ],
    [
      "a path given twice",
      "/files/1/path",
      {
        files: [
          { path: "a", content_base64: "" },
          { path: "a", content_base64: "" },
        ],
      },
      "the same as files[0].path",
    ],
    [
      "a file below a file",
      "/files/0/path",
      {
        files: [
          { path: "a/b", content_base64: "" },
          { path: "a", content_base64: "" },
        ],
      },
      '"a" is given as a file, not a folder',
    ],
  ])("%s", (_name, path, differences, message) => {
    const body =
      "payload" in (differences as object) && "task_id" in (differences as object)
        ? differences
        : { ...least, ...(differences as object) };
    const error = refusal(body);
    expect(error.code).toBe("validation");
    expect(error.details.map((detail) => detail.path)).toContain(path);
    expect(error.details.find((detail) => detail.path === path)?.message).toContain(message);
    expect(error.message).toContain(error.details[0]?.message);
  });

  test("every fault at once, and how many more than the first", () => {
    const error = refusal({ ...least, limits: { pids: 0, cpus: 0, memory_mb: "x" } });
    expect(error.details).toHaveLength(3);
    expect(error.message).toMatch(/ \(and 2 more\)$/);
  });

  test("no more than twenty faults", () => {
    const files = Array.from({ length: 500 }, () => ({ path: "/x", content_base64: "" }));
    expect(refusal({ ...least, files }).details).toHaveLength(20);
  });

  test("what may be secret is never quoted", () => {
    const secret = "hunter2-hunter2";
    const bodies = [
      { ...least, env: { A: `${secret}\0` } },
      { ...least, env: secret },
      { ...least, stdin: [secret] },
      { ...least, metadata: secret },
      { ...least, payload: secret },
      { ...least, secrets: secret },
      { ...least, files: [{ path: "a", content_base64: secret }] },
      Buffer.from(`{"env": {"A": "${secret}" "B"`),
    ];
    for (const body of bodies) {
      const { message, details, hint, cause } = refusal(body);
      expect(`${message} ${JSON.stringify(details)} ${hint} ${String(cause)}`).not.toContain("hunter2");
    }
  });
});

test("G23 a callback to a host that no setting names is refused, with those that are, and without the rest of the URL", () => {
  const error = refusal({ ...least, callback_url: "http://169.254.169.254/hunter2?hunter2" });
  expect(error).toMatchObject({
    code: "policy_denied",
    message:
      "callback_url leads to http://169.254.169.254:80, where no callbacks may go; allowed: https://hooks.example:443, http://plain.example:8080",
    details: [{ path: "/callback_url" }],
  });
});

describe("secrets", () => {
  const asked = (...secrets: readonly object[]) => ({ ...least, env: { MODE: "ci" }, secrets });

  test("are taken by their names", () => {
    const secrets = [
      { name: "DB_URL", as: "env" },
      { name: "_key2", as: "file" },
      { name: "MODE", as: "file" },
      { name: "TOOL_SECRETS_DIR", as: "file" },
    ];
    expect(parse(asked(...secrets)).secrets).toEqual(secrets);
  });

  test.each([
    "../*",
    "other/DB_URL",
    "*",
    "",
    "2FA",
    "acme:DB_URL",
    "a b",
    "A\0",
    "é",
    "x".repeat(65),
    "postgres://u:p@h",
  ])("named %s are denied, and what stands there is not quoted", (name) => {
    const error = refusal(asked({ name: "GOOD", as: "env" }, { name, as: "env" }));
    expect(error).toMatchObject({ code: "policy_denied", details: [{ path: "/secrets/1/name" }] });
    expect(error.message).toBe(
      "the name of a secret must be letters, digits and _, no digit first, at most 64 of them",
    );
  });

  test.each<[string, readonly object[], string, string]>([
    [
      "twice",
      [
        { name: "A", as: "env" },
        { name: "A", as: "file" },
      ],
      "/secrets/1/name",
      "stands there twice",
    ],
    ["a variable of env too", [{ name: "MODE", as: "env" }], "/secrets/0/name", "is a variable of env too"],
    ["a variable of ours", [{ name: "TOOL_SECRETS_DIR", as: "env" }], "/secrets/0/name", "that every task has"],
    ["without a way", [{ name: "A" }], "/secrets/0/as", "as is missing"],
    ["with a way there is not", [{ name: "A", as: "argv" }], "/secrets/0/as", "must be one of"],
    ["with the value itself", [{ name: "A", as: "env", value: "x" }], "/secrets/0/value", "is no known field"],
    ["17 of them", Array.from({ length: 17 }, (_, at) => ({ name: `S${at}`, as: "env" })), "/secrets", "at most 16"],
  ])("%s are refused", (_name, secrets, path, says) => {
    const error = refusal(asked(...secrets));
    expect(error).toMatchObject({ code: "validation", details: [{ path }] });
    expect(error.details[0]?.message).toContain(says);
  });
});

describe("bytes that are no request", () => {
  test.each<[string, string | Buffer, string]>([
    ["nothing", "", "request is no JSON"],
    ["no JSON", "not json", "request is no JSON"],
    ["no UTF-8", Buffer.from([0x22, 0xff, 0x22]), "request is no JSON in UTF-8"],
    ["a byte order mark", `\ufeff${JSON.stringify(least)}`, "request is no JSON"],
    ["null", "null", "request is null, must be an object"],
    ["a list", "[]", "request is an array, must be an object"],
    ["a string", '"x"', 'request is "x", must be an object'],
    ["a number that is infinite", '{"metadata": {"n": 1e400}}', "metadata.n is a number too large"],
    ["an integer that would be rounded", '{"metadata": {"n": 9007199254740993}}', "would be rounded"],
    ["one byte too many", `${JSON.stringify(least)}${" ".repeat(1024 * 1024)}`, "bytes long, at most 1048576"],
    ["a deep nest of lists", "[".repeat(100_000), "request is nested deeper than 64 levels"],
    ["a deep nest of objects", `${'{"a":'.repeat(65)}1${"}".repeat(65)}`, "nested deeper than 64 levels"],
    ["a hundred thousand values", `[${"1,".repeat(100_000)}1]`, "request has more than 100000 values"],
    [
      "a prototype",
      '{"task_id":"t","tool_name":"x","payload":{"__proto__":{"a":1}}}',
      "payload.__proto__ is a name no field may have",
    ],
  ])("%s", (_name, text, message) => {
    const error = refusal(Buffer.from(text));
    expect(error.code).toBe("validation");
    expect(error.message).toContain(message);
  });

  test("brackets and quotes inside strings are no nesting", () => {
    const payload = { command: `${"[".repeat(100)}\\"{{{\\\\` };
    expect(parse(Buffer.from(JSON.stringify({ ...least, payload }))).payload).toEqual(payload);
  });

  test("an object in memory that contains itself", () => {
    const metadata: Record<string, unknown> = {};
    metadata.a = metadata;
    metadata.b = metadata;
    expect(refusal({ ...least, metadata }).message).toContain("nested deeper than 64 levels");
  });
});
