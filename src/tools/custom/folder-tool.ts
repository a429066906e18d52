import { ExecutorError } from "../../model/failure.ts";
import type { Limits } from "../../model/limits.ts";
import type { JsonObject, RetryClass } from "../../model/task.ts";
import { summary } from "../../schema/failure-details.ts";
import { parseJson } from "../../schema/parse-json.ts";
import { validator } from "../../schema/validator.ts";
import { defineTool } from "../define-tool.ts";
import type { Tool, ToolFile } from "../tool.ts";
import { argvFor, commandProblems } from "./command-template.ts";
import { manifestSchema } from "./manifest-schema.ts";

/** A `tool.json` once its schema has let it pass; fields as in the file. */
interface Manifest {
  readonly name: string;
  readonly description: string;
  readonly image: string;
  readonly runtime?: string | null;
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input_schema: JsonObject;
  readonly output_schema?: JsonObject | null;
  readonly limits?: Partial<Limits>;
  readonly retry?: RetryClass;
}

/** The most a `tool.json` may hold. */
export const maxManifestBytes = 256 * 1024;

/** Where the payload of a folder's tool stands, below `/workspace`; the name is kept for tools. */
const payloadPath = ".toolx-payload.json";

/**
 * The tool that a `tool.json` and the files beside it describe. It holds no code of ours: the command runs in the sandbox only.
 * @param files put into `/workspace` for every call.
 * @throws ExecutorError validation, with a detail for each thing wrong. The two schemas are not looked into.
 */
export function folderTool(bytes: Uint8Array, files: readonly ToolFile[]): Tool {
  const manifest = parseManifest(bytes);
  const { name, description, image, input_schema, output_schema = null } = manifest;
  const { runtime = null, cwd = "/workspace", env = {}, limits = {}, retry = "safe" } = manifest;
  return defineTool<JsonObject>({
    name,
    description,
    inputSchema: input_schema,
    outputSchema: output_schema,
    images: [image],
    runtime,
    limits,
    retry,
    command: (payload) => ({
      image,
      argv: argvFor(manifest.command, payload),
      env: { ...env, TOOL_PAYLOAD_FILE: `/workspace/${payloadPath}` },
      cwd,
      files: [...files, { path: payloadPath, bytes: Buffer.from(`${JSON.stringify(payload)}\n`) }],
    }),
  });
}

function parseManifest(bytes: Uint8Array): Manifest {
  const check = validator<Manifest>(manifestSchema, { subject: "tool.json", at: "", code: "validation" });
  const manifest = check(
    parseJson(bytes, {
      subject: "tool.json",
      code: "validation",
      caps: { maxBytes: maxManifestBytes, maxDepth: 64, maxValues: 10_000 },
      exactNumbers: true,
    }),
  );
  const details = commandProblems(manifest.command, manifest.input_schema);
  if (details.length > 0) throw new ExecutorError("validation", summary(details), { details });
  return manifest;
}
