import type { JsonObject } from "../../model/task.ts";
import { argumentSchema, defineTool, payloadSchema } from "../define-tool.ts";
import type { Tool, ToolCommand } from "../tool.ts";

type Language = "python" | "node";

interface CodePayload {
  readonly language: Language;
  readonly code: string;
  readonly args?: readonly string[];
}

const inputSchema: JsonObject = payloadSchema(
  {
    language: { enum: ["python", "node"] },
    code: { type: "string", description: "The whole program." },
    args: { type: "array", maxItems: 1000, items: argumentSchema, description: "Arguments of the program." },
  },
  ["language", "code"],
);

/**
 * Runs a program given as text. It becomes a file of its own in `/workspace`, so that an error names its own lines, and files
 * that came with the request are imported from beside it. Without network it changes nothing outside its sandbox, so it may run again.
 */
export function codeInterpreterTool(): Tool {
  return defineTool<CodePayload>({
    name: "code_interpreter",
    description: "Runs a Python or Node.js program and returns what it prints and the files it leaves in /output.",
    inputSchema,
    outputSchema: null,
    images: ["python", "node"],
    runtime: null,
    limits: {},
    retry: "safe",
    command: ({ language, code, args = [] }) => program(language, Buffer.from(code), args),
  });
}

function program(language: Language, bytes: Uint8Array, args: readonly string[]): ToolCommand {
  const cwd = "/workspace";
  switch (language) {
    case "python":
      return {
        image: "python",
        argv: ["python3", `${cwd}/.toolx.py`, ...args],
        // What is printed is seen at once: into a pipe Python would keep it until the end.
        env: { PYTHONUNBUFFERED: "1" },
        cwd,
        files: [{ path: ".toolx.py", bytes }],
      };
    case "node":
      return {
        image: "node",
        // With this ending Node decides by the text, or by a package.json beside it: both `require` and `import` work.
        argv: ["node", `${cwd}/.toolx.js`, ...args],
        env: {},
        cwd,
        files: [{ path: ".toolx.js", bytes }],
      };
  }
}
