import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { ExecutorError } from "../../model/failure.ts";
import type { ContextFile } from "./image-recipe.ts";

/**
 * A build context as a tar stream. Owner, times and modes are the same on every machine, so that a build step is found
 * in the engine's cache however the checkout came about. The folder `ca/` is always there, because a Dockerfile cannot
 * copy what may be missing.
 */
export function packContext(files: readonly ContextFile[], caFiles: readonly ContextFile[]): Readable {
  const tar = pack();
  const entry = (path: string, mode: number) => ({ name: path, mode, uid: 0, gid: 0, mtime: new Date(0) });
  tar.entry({ ...entry("ca", 0o755), type: "directory" });
  for (const file of [...files, ...caFiles.map((ca) => ({ ...ca, path: `ca/${ca.path}` }))]) {
    tar.entry(entry(file.path, file.executable ? 0o755 : 0o644), file.bytes);
  }
  tar.finalize();
  return Readable.from(tar);
}

/**
 * The operator's extra CA certificates: the `.crt` files right inside `dir`. A folder that is not there holds none.
 * @throws ExecutorError image, when the folder or a file in it cannot be read.
 */
export async function readCaFiles(dir: string | null): Promise<readonly ContextFile[]> {
  if (dir === null) return [];
  try {
    const names = (await readdir(dir)).filter((name) => name.endsWith(".crt")).sort();
    return await Promise.all(
      names.map(async (path) => ({ path, bytes: await readFile(join(dir, path)), executable: false })),
    );
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new ExecutorError("image", `read extra CA certificates from ${dir}`, { cause });
  }
}
