import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A `tool.json` that is right, and what a test is about. `undefined` takes a field away. */
export function aManifest(differences: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    name: "echo",
    description: "Says what it is told.",
    image: "shell",
    command: ["echo", "{{payload.text}}"],
    input_schema: {
      type: "object",
      additionalProperties: false,
      required: ["text"],
      properties: { text: { type: "string" } },
      examples: [{ text: "hi" }],
    },
    ...differences,
  };
}

/** A temporary folder for tools, gone after dispose. */
export interface ToolFolders extends AsyncDisposable {
  readonly path: string;
  /** Writes a file and the folders above it; a value that is no text as JSON. Answers its path. */
  write(path: string, content: unknown, mode?: number): Promise<string>;
}

export async function toolFolders(): Promise<ToolFolders> {
  const base = await mkdtemp(join(tmpdir(), "toolx-tools-"));
  return {
    path: base,
    async write(path, content, mode = 0o644) {
      const file = join(base, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
      await chmod(file, mode);
      return file;
    },
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}
