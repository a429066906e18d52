import type { JsonObject } from "../../model/task.ts";

const text = { type: "string" };
const textOrNull = { type: ["string", "null"] };
const status = { type: "integer", minimum: 100, maximum: 999 };

const properties: Readonly<Record<string, JsonObject>> = {
  status: { ...status, description: "Of the last answer. 404 and 500 are answers too." },
  url: { ...text, description: "Who gave it, after all redirects." },
  redirects: {
    type: "array",
    maxItems: 10,
    items: {
      type: "object",
      additionalProperties: false,
      required: ["status", "url"],
      properties: { status, url: text },
    },
    description: "The answers before, in order: each with the URL that gave it.",
  },
  dropped_headers: {
    type: "array",
    items: text,
    description: "Headers of the request that were not sent on, because a redirect led to another origin.",
  },
  headers: {
    type: "object",
    additionalProperties: { type: ["string", "array"], items: text },
    description:
      "Names in lower case. Of several of one name the values stand behind each other; set-cookie is a list.",
  },
  content_type: { ...textOrNull, description: "As the header has it." },
  body_as: {
    enum: ["json", "text", "artifact", "none"],
    description:
      "Where the body is: in body as a JSON value or as a string, in the file body_artifact, or there is none.",
  },
  body: { description: "A JSON value, or a string, as body_as says; null for artifact and none." },
  body_artifact: { ...textOrNull, description: "The artifact with the body's bytes." },
  body_bytes: { type: "integer", minimum: 0, description: "Unpacked; of a truncated body, those that are there." },
  truncated: { type: "boolean", description: "The body was larger than may be kept; the artifact has its beginning." },
  duration_ms: { type: "integer", minimum: 0, description: "From the first request to the body's end." },
};

/** What `program/main.cjs` writes. */
export const outputSchema: JsonObject = {
  type: "object",
  additionalProperties: false,
  required: Object.keys(properties),
  properties,
};
