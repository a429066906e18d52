import { constants } from "node:fs";
import { lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { extract } from "tar-stream";
import { ExecutorError } from "../../model/failure.ts";
import { codeOf } from "./private-folder.ts";

/**
 * Extracts the plain files of a tar below `folder` (made if missing), all of them or the `wanted`; answers how many. Folders without
 * files come too unless only some files are wanted. Modes are 0644 or what the umask leaves of it. Nothing is ever written outside: names are checked, links neither made nor followed, a file is whole or not there.
 * @throws ExecutorError validation, for a name that leaves the folder or a place that cannot be written.
 */
export async function extractTar(
  tar: AsyncIterable<Uint8Array>,
  folder: string,
  wanted: ReadonlySet<string> | null,
  withFolders: boolean = wanted === null,
): Promise<number> {
  const parser = extract();
  const feeding = feed(tar, parser);
  let count = 0;
  try {
    for await (const entry of parser) {
      const { name, type } = entry.header;
      const isWanted = type === "file" && (wanted === null || wanted.has(name));
      if (!isWanted) {
        if (type === "directory" && withFolders) await plainFolder(folder, segmentsOf(name));
        entry.resume();
        continue;
      }
      await writeFile(folder, segmentsOf(name), entry as AsyncIterable<Uint8Array>);
      count += 1;
    }
  } catch (cause) {
    parser.destroy();
    await feeding.catch(() => undefined);
    throw cause instanceof ExecutorError ? cause : unwritable(folder, cause);
  }
  await feeding;
  return count;
}

async function feed(tar: AsyncIterable<Uint8Array>, parser: ReturnType<typeof extract>): Promise<void> {
  for await (const chunk of tar) {
    if (parser.destroyed) return;
    if (parser.write(chunk)) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    const go = (): void => resolve();
    parser.once("drain", go);
    parser.once("close", go);
    await promise;
    parser.off("drain", go);
    parser.off("close", go);
  }
  parser.end(undefined);
}

function segmentsOf(name: string): readonly string[] {
  const segments = name.replace(/\/$/, "").split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === ".." || segment.includes("\0")))
    throw new ExecutorError("validation", `artifacts: ${JSON.stringify(name)} is not a plain relative name`);
  return segments;
}

/** The folder of these segments, made step by step: each must be a real folder, never a link. */
async function plainFolder(root: string, segments: readonly string[]): Promise<string> {
  await mkdir(root, { recursive: true });
  let path = root;
  for (const segment of segments) {
    path = join(path, segment);
    await mkdir(path).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
    const found = await lstat(path);
    if (!found.isDirectory()) throw new ExecutorError("validation", `artifacts: ${path} is there and is no folder`);
  }
  return path;
}

async function writeFile(root: string, segments: readonly string[], content: AsyncIterable<Uint8Array>): Promise<void> {
  const folder = await plainFolder(root, segments.slice(0, -1));
  const target = join(folder, segments.at(-1) ?? "");
  // Written beside the target and renamed: a rename replaces a link instead of following it.
  const part = join(dirname(target), `.toolx-${process.pid}-${Math.random().toString(36).slice(2)}.part`);
  const file = await open(
    part,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o644,
  );
  try {
    for await (const chunk of content) await file.write(chunk);
    await file.close();
    await rename(part, target);
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

const unwritable = (folder: string, cause: unknown): ExecutorError =>
  new ExecutorError("validation", `artifacts: ${folder} cannot be written (${codeOf(cause)})`, {
    cause,
    hint: "choose another folder with --out",
  });
