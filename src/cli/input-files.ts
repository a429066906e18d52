import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { basename, join, posix, resolve } from "node:path";
import { ExecutorError } from "../model/failure.ts";
import { badFlag } from "./quantities.ts";
import { missingFile } from "./run-request.ts";

/** One local file of `--file`, and where it goes below `/workspace`. */
export interface LocalFile {
  readonly source: string;
  readonly path: string;
  readonly executable: boolean;
}

/** The most files one command line may name, folders counted by what is in them. */
const maxFiles = 20_000;

/**
 * The files that `--file LOCAL[:PATH]` means: a file by its name, a folder with everything regular in it. Links are followed where the
 * user named them and left out inside folders.
 * @throws ExecutorError validation, for what is not there or cannot be read.
 */
export async function localFiles(flags: readonly string[], cwd: string): Promise<readonly LocalFile[]> {
  const files: LocalFile[] = [];
  for (const flag of flags) {
    const { source, path } = await splitFlag(flag, cwd);
    const found = await stat(source).catch((cause: unknown) => {
      throw missingFile("--file", source, cause);
    });
    if (found.isFile()) files.push({ source, path, executable: (found.mode & 0o100) !== 0 });
    else if (found.isDirectory()) await addFolder(source, path, files);
    else throw badFlag("--file", flag, "a regular file or a folder");
  }
  return files;
}

/** sha256 of a file, hex. */
export async function fileSha256(source: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(source)) hash.update(chunk);
  } catch (cause) {
    throw missingFile("--file", source, cause);
  }
  return hash.digest("hex");
}

// A colon may be part of a local name: the whole flag is tried as a name first.
async function splitFlag(flag: string, cwd: string): Promise<{ source: string; path: string }> {
  const whole = resolve(cwd, flag);
  const colon = flag.lastIndexOf(":");
  const exists = await lstat(whole).then(
    () => true,
    () => false,
  );
  if (exists || colon < 1) return { source: whole, path: basename(whole) };
  const path = flag
    .slice(colon + 1)
    .replace(/^\/workspace\/+/, "")
    .replace(/\/+$/, "");
  if (path === "" || posix.isAbsolute(path))
    throw badFlag("--file", flag, "LOCAL[:PATH] with PATH relative to /workspace");
  return { source: resolve(cwd, flag.slice(0, colon)), path };
}

async function addFolder(folder: string, path: string, files: LocalFile[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw missingFile("--file", folder, cause);
  });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const source = join(folder, entry.name);
    if (entry.isDirectory()) await addFolder(source, `${path}/${entry.name}`, files);
    else if (entry.isFile()) {
      const { mode } = await stat(source);
      files.push({ source, path: `${path}/${entry.name}`, executable: (mode & 0o100) !== 0 });
    }
    if (files.length > maxFiles)
      throw new ExecutorError("validation", `--file: ${folder} brings the number of files over ${maxFiles}`, {
        hint: "pack the folder into one archive and unpack it in the task",
      });
  }
}
