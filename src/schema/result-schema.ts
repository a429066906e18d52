import { reasonTable } from "../model/failure.ts";
import type { JsonObject } from "../model/task.ts";

const open = { type: "object" } satisfies JsonObject;
const text = { type: "string" } satisfies JsonObject;
const textOrNull = { type: ["string", "null"] } satisfies JsonObject;
const count = { type: "integer", minimum: 0 } satisfies JsonObject;
const countOrNull = { type: ["integer", "null"], minimum: 0 } satisfies JsonObject;
const encoding = { enum: ["utf-8", "base64"] } satisfies JsonObject;
const sha256 = { type: "string", pattern: "^[0-9a-f]{64}$" } satisfies JsonObject;

/** An object with exactly these members, none optional: an answer always has the same shape. */
const exactly = (properties: Readonly<Record<string, JsonObject>>): JsonObject => ({
  type: "object",
  additionalProperties: false,
  required: Object.keys(properties),
  properties,
});

const orNull = (schema: JsonObject): JsonObject => ({ ...schema, type: ["object", "null"] });
const listOf = (items: JsonObject): JsonObject => ({ type: "array", items });

const error = exactly({
  code: { enum: Object.keys(reasonTable) },
  message: text,
  hint: textOrNull,
  retryable: { type: "boolean" },
  details: listOf(exactly({ path: text, message: text })),
});

const output = exactly({
  value: {},
  stdout: text,
  stderr: text,
  stdout_encoding: encoding,
  stderr_encoding: encoding,
  stdout_bytes: count,
  stderr_bytes: count,
  truncated: { type: "boolean" },
  results: listOf(exactly({ mime: text, artifact: text })),
  artifacts: listOf(exactly({ path: text, size_bytes: count, sha256, mime: text, url: text, secrets: listOf(text) })),
  artifacts_object: textOrNull,
  logs_object: textOrNull,
});

const metrics = exactly({
  queue_ms: { type: ["number", "null"], minimum: 0 },
  start_ms: { type: ["number", "null"], minimum: 0 },
  run_ms: { type: ["number", "null"], minimum: 0 },
  duration_ms: { type: ["number", "null"], minimum: 0 },
  cpu_ms: { type: ["number", "null"], minimum: 0 },
  memory_peak_bytes: countOrNull,
  pids_peak: countOrNull,
  egress_bytes: countOrNull,
  egress_connections: countOrNull,
  source: { enum: ["cgroup", "sampled", null] },
  redactions: count,
});

const egress = exactly({
  host: textOrNull,
  port: countOrNull,
  verdict: { enum: ["allowed", "denied", "failed"] },
  bytes_in: count,
  bytes_out: count,
  connections: count,
  why: textOrNull,
  hint: textOrNull,
});

const number = { type: "number", minimum: 0 } satisfies JsonObject;

const sandbox = exactly({
  image: text,
  image_id: text,
  runtime: text,
  warm: { type: "boolean" },
  limits: exactly({
    timeout_seconds: number,
    cpus: number,
    memory_mb: number,
    pids: number,
    disk_mb: number,
    output_mb: number,
    inodes: number,
    log_mb: number,
  }),
});

const envelope = exactly({
  schema_version: { const: 1 },
  task_id: textOrNull,
  tenant_id: text,
  tool_name: textOrNull,
  status: { enum: ["success", "failed"] },
  reason: { enum: Object.keys(reasonTable) },
  exit_code: { type: ["integer", "null"] },
  signal: textOrNull,
  error: orNull(error),
  output,
  metrics,
  egress: listOf(egress),
  sandbox: orNull(sandbox),
  attempt: count,
  trace_id: textOrNull,
  metadata: open,
});

/** The result envelope as JSON Schema (2020-12). The order of its members is the order on the wire. */
export const resultSchema: JsonObject = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Result of a tool call",
  ...envelope,
  // The one that may be absent.
  properties: { ...(envelope.properties as JsonObject), result_object: text },
};
