import type { LimitName, LimitRule, LimitRules } from "../model/limits.ts";
import { maxSecretCount } from "../model/secret.ts";
import type { JsonObject } from "../model/task.ts";

/**
 * The request as JSON Schema (2020-12), for one installation's bounds. What a schema cannot say (paths that clash, bytes in all,
 * times) the parser adds. Fields of later features are described here and refused by name in the parser.
 * @param hostCpus CPUs of this host, at least 1: no task may ask for more.
 */
export function taskSchema(limitRules: LimitRules, hostCpus: number): JsonObject {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Tool call",
    type: "object",
    additionalProperties: false,
    required: ["task_id", "tool_name", "payload"],
    properties: {
      schema_version: { const: 1 },
      task_id: idSchema,
      tenant_id: idSchema,
      persona: { type: ["string", "null"], maxLength: 255 },
      tool_name: { type: "string", minLength: 1, maxLength: 100 },
      payload: { type: "object" },
      files: { type: "array", items: inputFile },
      stdin: { type: ["string", "null"] },
      limits: limitsSchema(limitRules, hostCpus),
      network: {
        type: "object",
        additionalProperties: false,
        properties: { allow: { type: "array", items: { type: "string" } } },
      },
      env: {
        type: "object",
        maxProperties: 1000,
        propertyNames: { pattern: "^[A-Za-z_][A-Za-z0-9_]*$", says: "names are letters, digits and _, no digit first" },
        additionalProperties: { type: "string", pattern: "^[^\\u0000]*$", says: "must not hold a NUL character" },
      },
      secrets: { type: "array", maxItems: maxSecretCount, items: secret },
      image: { type: ["string", "null"], minLength: 1, maxLength: 255 },
      runtime: { type: ["string", "null"], minLength: 1, maxLength: 255 },
      priority: { type: "integer", minimum: 0, maximum: 9 },
      retry: { enum: ["safe", "unsafe"] },
      not_before: time,
      expires_at: time,
      callback_url: { type: ["string", "null"], maxLength: 2048 },
      metadata: { type: "object" },
    },
  };
}

/** A limit's bounds on this host. The default never is above the maximum. */
export function limitBounds(name: LimitName, rule: LimitRule, hostCpus: number): LimitRule {
  if (name !== "cpus") return rule;
  const max = Math.min(rule.max, hostCpus);
  return { ...rule, max, byDefault: Math.min(rule.byDefault, max) };
}

function limitsSchema(rules: LimitRules, hostCpus: number): JsonObject {
  const properties: Record<string, JsonObject> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const { integer, min, max } = limitBounds(name as LimitName, rule, hostCpus);
    properties[name] = { type: integer ? "integer" : "number", minimum: min, maximum: max };
  }
  return { type: "object", additionalProperties: false, properties };
}

/** What names a task or tenant. */
export const idSchema: JsonObject = {
  type: "string",
  pattern: "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
  says: "must be 1 to 63 letters, digits, _ and -, a letter or digit first",
};

const inputFile: JsonObject = {
  type: "object",
  additionalProperties: false,
  required: ["path"],
  properties: {
    path: { type: "string", minLength: 1 },
    content_base64: { type: "string" },
    sha256: { type: "string", pattern: "^[0-9a-f]{64}$", says: "must be 64 lower-case hex digits" },
    executable: { type: "boolean" },
  },
};

/** What a name must be the parser says: who asks for what is none is denied it, as for any other secret that is not his. */
const secret: JsonObject = {
  type: "object",
  additionalProperties: false,
  required: ["name", "as"],
  properties: { name: { type: "string" }, as: { enum: ["env", "file"] } },
};

const time: JsonObject = {
  type: ["string", "null"],
  pattern: "^\\d{4}-\\d{2}-\\d{2}[Tt]\\d{2}:\\d{2}:\\d{2}(?:\\.\\d{1,9})?(?:[Zz]|[+-]\\d{2}:\\d{2})$",
  says: "must be an RFC 3339 time such as 2026-01-01T00:00:00Z",
};
