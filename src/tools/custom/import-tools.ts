import { readFileSync } from "node:fs";
import { createRequire, findPackageJSON, isBuiltin } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ExecutorError } from "../../model/failure.ts";
import type { JsonObject } from "../../model/task.ts";
import { validator } from "../../schema/validator.ts";
import { argumentSchema, cwdSchema } from "../define-tool.ts";
import type { Tool, ToolCommand } from "../tool.ts";
import { brokenTool, type FoundTool, problemsOf } from "./found-tool.ts";
import { imageNameSchema, toolDescriptionSchema, toolLimitsSchema, toolNameSchema } from "./manifest-schema.ts";

/** The file that a package's name means when it is looked up from these folders, in order; null: none of them has it. */
export function packageEntry(name: string, folders: readonly string[]): string | null {
  if (isBuiltin(name)) return null;
  for (const folder of folders) {
    const from = join(folder, "tools.js");
    try {
      return createRequire(from).resolve(name);
    } catch {
      // A package for `import` only has no answer for `require`.
      const entry = importEntry(name, from);
      if (entry !== null) return entry;
    }
  }
  return null;
}

function importEntry(name: string, from: string): string | null {
  try {
    const path = findPackageJSON(name, pathToFileURL(from));
    if (path === undefined) return null;
    const { exports } = JSON.parse(readFileSync(path, "utf8")) as { readonly exports?: unknown };
    const main = typeof exports === "object" && exports !== null && "." in exports ? exports["."] : exports;
    const target = importTarget(main);
    return target === null ? null : join(dirname(path), target);
  } catch {
    return null;
  }
}

function importTarget(main: unknown): string | null {
  if (typeof main === "string") return main;
  if (typeof main !== "object" || main === null) return null;
  for (const [condition, target] of Object.entries(main))
    if (["node", "import", "module-sync", "default"].includes(condition)) return importTarget(target);
  return null;
}

/**
 * The tools that a module exports as `tools`. It runs in this process, with all its rights: only an operator may name one.
 * @param source what it is called in messages.
 */
export async function importTools(path: string, source: string): Promise<readonly FoundTool[]> {
  const fail = (problem: string): readonly FoundTool[] => [brokenTool(basename(path), source, [problem])];
  let module: { readonly tools?: unknown };
  try {
    module = await import(pathToFileURL(path).href);
  } catch (error) {
    return fail(`the module cannot be imported: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!Array.isArray(module.tools)) return fail("the module exports no list named tools");
  return module.tools.map((candidate: unknown, index) => {
    try {
      return { kind: "tool", tool: checkedTool(candidate), source };
    } catch (error) {
      return brokenTool(nameOf(candidate) ?? `${basename(path)} tools[${index}]`, source, problemsOf(error));
    }
  });
}

const nameOf = (candidate: unknown): string | null => {
  const name: unknown =
    typeof candidate === "object" && candidate !== null && "name" in candidate ? candidate.name : null;
  return typeof name === "string" && name !== "" && name.length <= 100 ? name : null;
};

const declarationSchema: JsonObject = {
  type: "object",
  required: ["name", "description", "inputSchema", "outputSchema", "images", "runtime", "limits", "retry"],
  properties: {
    name: toolNameSchema,
    description: toolDescriptionSchema,
    inputSchema: { type: "object" },
    outputSchema: { type: ["object", "null"] },
    images: { type: "array", minItems: 1, items: imageNameSchema },
    runtime: { type: ["string", "null"], minLength: 1 },
    limits: toolLimitsSchema,
    retry: { enum: ["safe", "unsafe"] },
  },
};

const commandSchema: JsonObject = {
  type: "object",
  required: ["image", "argv", "env", "cwd", "files"],
  properties: {
    image: imageNameSchema,
    argv: { type: "array", minItems: 1, maxItems: 1000, items: argumentSchema },
    env: { type: "object", additionalProperties: argumentSchema },
    cwd: cwdSchema,
    calls: { type: "array", maxItems: 16, items: { type: "string" } },
    files: {
      type: "array",
      items: {
        type: "object",
        required: ["path", "bytes"],
        properties: {
          path: {
            type: "string",
            maxBytes: 4096,
            pattern: "^(?!/)(?!(?:.*/)?\\.{0,2}(?:/|$))[^\\u0000\\\\]+$",
            says: "must be relative to /workspace, without empty, . or .. segments",
          },
          executable: { type: "boolean" },
        },
      },
    },
  },
};

/** A module's tool whose every command is looked at, since the compiler that saw it was not ours. */
function checkedTool(candidate: unknown): Tool {
  const declared = validator<Tool>(declarationSchema, { subject: "the tool", at: "", code: "validation" })(candidate);
  for (const member of ["command", "value"] as const)
    if (typeof declared[member] !== "function")
      throw new ExecutorError("validation", `${member} is no function: make the tool with defineTool`);
  const checkCommand = validator<ToolCommand>(commandSchema, { subject: "its command", at: "", code: "internal" });
  return {
    ...declared,
    command(task) {
      try {
        const command = checkCommand(declared.command(task));
        const textual = command.files.find(({ bytes }) => !(bytes instanceof Uint8Array));
        if (textual !== undefined) throw new TypeError(`bytes of file ${textual.path} are no Uint8Array`);
        return command;
      } catch (cause) {
        if (cause instanceof ExecutorError && cause.code === "validation") throw cause;
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new ExecutorError(
          "internal",
          `tool ${declared.name}: what it makes of the payload cannot be run: ${why}`,
          {
            cause,
            hint: "the module that brings the tool has to be mended",
          },
        );
      }
    },
  };
}
