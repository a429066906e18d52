import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { JsonObject } from "../../model/task.ts";
import { knowledgeAnswerSchema, knowledgeRequestSchema } from "../../schema/knowledge-schema.ts";
import { defineTool } from "../define-tool.ts";
import type { Tool } from "../tool.ts";

/** As in `calls`, and in the address that its program asks. */
export const knowledgeBaseName = "knowledge_base";

/**
 * Searches the tenant's documents. The sandbox has none of them, and neither a credential nor a route: its program asks the host, over the way
 * that `TOOL_CALL_URL` names, and the host knows whose task it is. It changes nothing, so it may run again.
 */
export function knowledgeBaseTool(): Tool {
  const program = readFileSync(join(import.meta.dirname, "ask.sh"));
  return defineTool<JsonObject>({
    name: knowledgeBaseName,
    description:
      "Searches the documents that were imported for the tenant, and returns the passages that answer best, with path, heading and a marked snippet.",
    inputSchema: knowledgeRequestSchema,
    outputSchema: knowledgeAnswerSchema,
    images: ["shell"],
    runtime: null,
    limits: {},
    retry: "safe",
    command: (payload) => ({
      image: "shell",
      argv: ["bash", "/workspace/.toolx-ask.sh"],
      env: {},
      cwd: "/workspace",
      files: [
        { path: ".toolx-ask.sh", bytes: program },
        { path: ".toolx-request.json", bytes: Buffer.from(JSON.stringify(payload)) },
      ],
      calls: [knowledgeBaseName],
    }),
  });
}
