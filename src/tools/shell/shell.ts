import type { JsonObject } from "../../model/task.ts";
import { argumentSchema, cwdSchema, defineTool, payloadSchema } from "../define-tool.ts";
import type { Tool } from "../tool.ts";

/** A shell line, or a program with its arguments and no shell in between. */
type ShellPayload = { readonly cwd?: string } & ({ readonly command: string } | { readonly argv: readonly string[] });

const inputSchema: JsonObject = payloadSchema(
  {
    command: { ...argumentSchema, minLength: 1, description: "One line or script for bash." },
    argv: {
      type: "array",
      minItems: 1,
      maxItems: 1000,
      items: argumentSchema,
      description: "A program and its arguments, taken as they are.",
    },
    cwd: { ...cwdSchema, description: "Where it starts; /workspace unless given." },
  },
  [],
  {
    oneOf: [{ required: ["command"] }, { required: ["argv"] }],
    says: "must have exactly one of command (a shell line) and argv (a program and its arguments)",
  },
);

/** Runs a command in the `shell` image. Without network it changes nothing outside its sandbox, so it may run again. */
export function shellTool(): Tool {
  return defineTool<ShellPayload>({
    name: "shell",
    description:
      "Runs a bash command line, or a program with its arguments, and returns what it prints and leaves in /output.",
    inputSchema,
    outputSchema: null,
    images: ["shell"],
    runtime: null,
    limits: {},
    retry: "safe",
    command: (payload) => ({
      image: "shell",
      // A line that begins with a dash is still no option of bash.
      argv: "argv" in payload ? payload.argv : ["bash", "-c", "--", payload.command],
      env: {},
      cwd: payload.cwd ?? "/workspace",
      files: [],
    }),
  });
}
