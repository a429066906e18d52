import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Limits } from "../../model/limits.ts";
import type { JsonObject } from "../../model/task.ts";
import { argumentSchema, defineTool, payloadSchema } from "../define-tool.ts";
import type { Tool, ToolCommand, ToolFile } from "../tool.ts";
import { runnerNotes } from "./notes.ts";

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
 * that came with the request are imported from beside it. A runner of ours (`runner/`) is beside it too: it runs the program as the
 * interpreter alone would, and notes the value of its last expression, tables and figures. Without network the program changes nothing
 * outside its sandbox, so it may run again.
 */
export function codeInterpreterTool(): Tool {
  const runners = {
    python: runnerFiles(["run.py", "program.py", "capture.py"]),
    node: runnerFiles(["run.cjs", "split.cjs", "capture.cjs"]),
  };
  return defineTool<CodePayload>({
    name: "code_interpreter",
    description:
      "Runs a Python or Node.js program and returns what it prints, the value of its last expression, its plots and tables, and the files it leaves in /output.",
    inputSchema,
    outputSchema: null,
    images: ["python", "node"],
    runtime: null,
    limits: {},
    retry: "safe",
    notes: runnerNotes(),
    command({ language, code, args = [] }, { limits }) {
      const { argv, env, path } = program(language, limits);
      return {
        image: language,
        argv: [...argv, ...args],
        env,
        cwd,
        files: [{ path, bytes: Buffer.from(code) }, ...runners[language]],
      };
    },
  });
}

const cwd = "/workspace";

/** Under reserved names, so that they clash with no file of the request. */
const runnerFiles = (names: readonly string[]): readonly ToolFile[] =>
  names.map((name) => ({
    path: `.toolx-${name}`,
    bytes: readFileSync(join(import.meta.dirname, "runner", name)),
  }));

/** How a program of this language is started, and under which name it lies in `/workspace`. */
function program(language: Language, limits: Limits): Pick<ToolCommand, "argv" | "env"> & { readonly path: string } {
  switch (language) {
    case "python": {
      const path = ".toolx.py";
      // The runner must leave the program its time and its memory: it is told how much there is.
      const itsLimits = [String(limits.timeout_seconds), String(limits.memory_mb)];
      return {
        path,
        argv: ["python3", `${cwd}/.toolx-run.py`, ...itsLimits, `${cwd}/${path}`],
        // What is printed is seen at once: into a pipe Python would keep it until the end.
        env: { PYTHONUNBUFFERED: "1" },
      };
    }
    case "node": {
      // With this ending Node decides by the text, or by a package.json beside it: both `require` and `import` work.
      const path = ".toolx.js";
      return { path, argv: ["node", "--require", `${cwd}/.toolx-run.cjs`, `${cwd}/${path}`], env: {} };
    }
  }
}
