import { defaultLimitRules } from "../../model/limits.ts";
import type { JsonObject } from "../../model/task.ts";
import { argumentSchema, cwdSchema } from "../define-tool.ts";

/** What a custom tool may be called. */
export const toolNameSchema: JsonObject = {
  type: "string",
  pattern: "^[a-z][a-z0-9_-]{0,62}$",
  says: "must be 1 to 63 small letters, digits, _ and -, a letter first",
};

const oneLine: JsonObject = {
  pattern: "^[^\\p{Cc}\\p{Zl}\\p{Zp}]*$",
  says: "must be one line, without control characters",
};

export const toolDescriptionSchema: JsonObject = { type: "string", minLength: 1, maxLength: 500, ...oneLine };

/** The name of an image in the allowlist; whether it is there is looked at when a task comes. */
export const imageNameSchema: JsonObject = {
  type: "string",
  pattern: "^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$",
  says: "must be an image's name such as shell",
};

export const toolEnvSchema: JsonObject = {
  type: "object",
  maxProperties: 100,
  propertyNames: {
    pattern: "^(?!TOOL_)[A-Za-z_][A-Za-z0-9_]*$",
    says: "names are letters, digits and _, no digit first; those that begin with TOOL_ are taken",
  },
  additionalProperties: argumentSchema,
};

/** A limit has no maximum here: the installation's is not known, and is kept when a task comes. */
export const toolLimitsSchema: JsonObject = {
  type: "object",
  additionalProperties: false,
  properties: Object.fromEntries(
    Object.entries(defaultLimitRules).map(([name, { integer, min }]): [string, JsonObject] => [
      name,
      { type: integer ? "integer" : "number", minimum: min },
    ]),
  ),
};

/** A `tool.json`, as JSON Schema (2020-12). docs/tool.schema.json is the same for editors. */
export const manifestSchema: JsonObject = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "tool.json: a custom tool",
  type: "object",
  additionalProperties: false,
  required: ["name", "description", "image", "command", "input_schema"],
  properties: {
    $schema: { type: "string", description: "For editors; not looked at." },
    name: { ...toolNameSchema, description: "What a request says in tool_name." },
    description: { ...toolDescriptionSchema, description: "One line for people, and for agents that choose a tool." },
    image: { ...imageNameSchema, description: "The image it runs in." },
    runtime: { type: ["string", "null"], minLength: 1, maxLength: 255, description: "null: the installation's." },
    command: {
      type: "array",
      minItems: 1,
      maxItems: 1000,
      items: argumentSchema,
      description:
        "The program and its arguments. {{payload.FIELD}} stands for a field of the payload. No shell reads it.",
    },
    cwd: { ...cwdSchema, description: "Where it starts; /workspace unless given." },
    env: { ...toolEnvSchema, description: "Environment variables; a request's own go before them." },
    input_schema: {
      type: "object",
      description: "What the payload must be. Its examples are tried by the contract test.",
    },
    output_schema: {
      type: ["object", "null"],
      description: "What /output/result.json must be; null: anything, or nothing.",
    },
    limits: { ...toolLimitsSchema, description: "Defaults that differ from the installation's." },
    retry: { enum: ["safe", "unsafe"], description: "unsafe: never started a second time. safe unless given." },
  },
};
