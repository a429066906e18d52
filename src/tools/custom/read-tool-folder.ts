import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { quoted } from "../../model/quoted.ts";
import { pathProblem } from "../../schema/input-file-problems.ts";
import { parseJson } from "../../schema/parse-json.ts";
import type { ToolFile } from "../tool.ts";
import { folderTool, maxManifestBytes } from "./folder-tool.ts";
import { brokenTool, type FoundTool, problemsOf } from "./found-tool.ts";

export const manifestName = "tool.json";

/** What a tool may bring along. */
const maxFilesBytes = 8 * 1024 * 1024;
const maxFiles = 1000;

/**
 * The tool of one folder: its `tool.json`, and what is in `files/` beside it. No link below the folder is followed, so that
 * nothing from elsewhere on the host gets into a sandbox.
 */
export async function readToolFolder(folder: string): Promise<FoundTool> {
  let bytes: Uint8Array | null = null;
  try {
    bytes = await readPlainFile(join(folder, manifestName), manifestName, maxManifestBytes);
    return { kind: "tool", tool: folderTool(bytes, await readFiles(folder)), source: folder };
  } catch (error) {
    return brokenTool(nameIn(bytes) ?? basename(folder), folder, problemsOf(error));
  }
}

async function readFiles(folder: string): Promise<readonly ToolFile[]> {
  const files: ToolFile[] = [];
  let room = maxFilesBytes;
  const visit = async (path: string): Promise<void> => {
    const shown = path === "" ? "files" : `files/${path}`;
    const entries = await readdir(join(folder, shown), { withFileTypes: true }).catch((cause: unknown) => {
      throw wrong(`${shown}: the folder cannot be read (${codeOf(cause)})`);
    });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const inner = path === "" ? entry.name : `${path}/${entry.name}`;
      const why = pathProblem(inner);
      if (why !== null) throw wrong(`files/: ${quoted(inner)} ${why}`);
      if (entry.isDirectory()) await visit(inner);
      else files.push(await readOne(inner));
      if (files.length > maxFiles) throw wrong(`files/ has more than ${maxFiles} files`);
    }
  };
  const readOne = async (path: string): Promise<ToolFile> => {
    const shown = `files/${path}`;
    await using file = await openPlain(join(folder, shown), shown);
    const { mode, size } = await file.stat();
    if (size > room) throw wrong(`files/ has more than ${maxFilesBytes} bytes`);
    const bytes = await readAtMost(file, room, "files/");
    room -= bytes.byteLength;
    return { path, bytes, executable: (mode & 0o100) !== 0 };
  };
  if (await isFolderItself(join(folder, "files"))) await visit("");
  return files;
}

/** False: there is nothing. */
async function isFolderItself(path: string): Promise<boolean> {
  const found = await lstat(path).catch((cause: unknown) => {
    if (codeOf(cause) === "ENOENT") return null;
    throw wrong(`files/ cannot be read (${codeOf(cause)})`);
  });
  // SAFETY: a link here would bring in any folder of the host.
  if (found !== null && !found.isDirectory()) throw wrong("files is no folder itself (a link or a file)");
  return found !== null;
}

async function readPlainFile(path: string, shown: string, maxBytes: number): Promise<Uint8Array> {
  await using file = await openPlain(path, shown);
  return await readAtMost(file, maxBytes, shown);
}

async function openPlain(path: string, shown: string): Promise<FileHandle> {
  await using stack = new AsyncDisposableStack();
  // SAFETY: no link, or a tool's folder could name any file of the host. Not waiting: a named pipe would hold us for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = stack.use(
    await open(path, flags).catch((cause: unknown) => {
      const code = codeOf(cause);
      if (code === "ELOOP") throw wrong(`${quoted(shown, 300)} is a link, and links are not followed`);
      throw wrong(`${quoted(shown, 300)} cannot be read (${code})`);
    }),
  );
  if (!(await file.stat()).isFile()) throw wrong(`${quoted(shown, 300)} is no regular file`);
  stack.move();
  return file;
}

/** Counts what it reads: a file may grow after its size was asked for. */
async function readAtMost(file: FileHandle, maxBytes: number, shown: string): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of file.createReadStream({ autoClose: false, end: maxBytes })) {
    pieces.push(piece);
    total += piece.length;
  }
  if (total > maxBytes) throw wrong(`${shown} has more than ${maxBytes} bytes`);
  return Buffer.concat(pieces);
}

/** The name in a `tool.json` that may be wrong otherwise. */
function nameIn(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  try {
    const caps = { maxBytes: maxManifestBytes, maxDepth: 64, maxValues: 10_000 };
    const manifest = parseJson(bytes, { subject: manifestName, code: "validation", caps, exactNumbers: false });
    const { name } = manifest as { readonly name?: unknown };
    return typeof name === "string" && name.length <= 100 && name !== "" ? name : null;
  } catch {
    return null;
  }
}

const codeOf = (cause: unknown): string => (cause instanceof Error && "code" in cause ? String(cause.code) : "unknown");

const wrong = (message: string): ExecutorError => new ExecutorError("validation", message);
