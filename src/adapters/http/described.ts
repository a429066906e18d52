import type { JsonObject } from "../../model/task.ts";

/** What several routes are described with, for `/docs`. */
export const taskIdParams: JsonObject = {
  type: "object",
  required: ["id"],
  properties: { id: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$" } },
};

export const tenantQuery: JsonObject = {
  tenant_id: { type: "string", description: "on the local socket; otherwise the tenant is the API key's" },
};

export const problemSchema: JsonObject = {
  title: "Problem (RFC 9457)",
  type: "object",
  required: ["type", "title", "status", "detail", "code", "hint", "retryable", "details"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", description: "a reason of docs/failures.md, or a code of HTTP alone" },
    hint: { type: ["string", "null"] },
    retryable: { type: "boolean" },
    details: {
      type: "array",
      items: { type: "object", properties: { path: { type: "string" }, message: { type: "string" } } },
    },
  },
};

/** Whether a request is a new task: `accepted` or `duplicate`. */
export const intakeHeader = "tool-executor-intake";
