import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { lstat, readdir, readFile, rename, rmdir, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { type Owner, ownerText, parseOwner } from "../../model/owner.ts";
import type { Scratch, ScratchFolder } from "../../ports/scratch.ts";
import { codeOf, privateFolder } from "./private-folder.ts";
import type { SpareFolders } from "./spare-folders.ts";

/**
 * Attempts' folders under `root`, which all executors of one user share.
 *
 * @param spares folders there that were made ahead.
 * @throws ExecutorError validation, when `root` is a link, another user's, or writable by others.
 */
export async function diskScratch(root: string, spares?: SpareFolders): Promise<Scratch> {
  const setting = "SANDBOX_ROOT";
  privateFolder(root, setting);
  let checkedAt = performance.now();
  return {
    async make({ key, number, owner }) {
      // Ids hold no dot, so no two attempts meet; the random end keeps two tries of one attempt apart.
      const name = `${key.tenantId}.${key.taskId}.${number}.${randomEnd()}`;
      const path = join(root, name);
      // One that is found under its random name is in the root that we know.
      if (spares?.placeAt(path, ownerText(owner))) return path;
      // A sweeper of old temporary files may have taken an idle root away, and somebody else made one in its place.
      if (performance.now() - checkedAt > trustMs) {
        privateFolder(root, setting);
        checkedAt = performance.now();
      }
      try {
        // To wake a thread for each of them takes several times as long as they do, and a task waits for them.
        mkdirSync(path, { mode: 0o700 });
        writeFileSync(join(path, ownerFile), ownerText(owner), { flag: "wx", mode: 0o600 });
      } catch (cause) {
        rmSync(path, { recursive: true, force: true });
        throw new ExecutorError("internal", `scratch folder ${path} cannot be made (${codeOf(cause)})`, { cause });
      }
      return path;
    },
    async take(attempt) {
      privateFolder(root, setting);
      const { key, number, owner } = attempt;
      const name = (await readdir(root)).find(
        (each) => folderName.test(each) && each.startsWith(`${key.tenantId}.${key.taskId}.${number}.`),
      );
      if (name === undefined) return null;
      const path = join(root, name);
      try {
        // Whole or not at all: whoever sweeps must never find a folder that is nobody's.
        await writeFile(join(path, `${ownerFile}.new`), ownerText(owner), { mode: 0o600 });
        await rename(join(path, `${ownerFile}.new`), join(path, ownerFile));
      } catch (error) {
        if (codeOf(error) === "ENOENT") return null;
        throw new ExecutorError("internal", `scratch folder ${path} cannot be taken over (${codeOf(error)})`, {
          cause: error,
        });
      }
      return path;
    },
    async list() {
      privateFolder(root, setting);
      const names = (await readdir(root)).filter((name) => folderName.test(name));
      const found = await Promise.all(names.map((name) => describe(join(root, name))));
      return found.filter((folder) => folder !== null);
    },
    async remove(path, signal) {
      if (dirname(path) !== root || !folderName.test(path.slice(root.length + 1))) {
        throw new ExecutorError("internal", `${path} is no scratch folder: allowed are those in ${root}`);
      }
      await removeTree(path, signal);
    },
  };
}

const endBytes = 6;
let ends = Buffer.alloc(0);
let endsAt = 0;

/** To ask for randomness takes longer than to make a folder, so many are asked for at once. */
function randomEnd(): string {
  if (endsAt >= ends.length) [ends, endsAt] = [randomBytes(64 * endBytes), 0];
  endsAt += endBytes;
  return ends.toString("hex", endsAt - endBytes, endsAt);
}

/** A root that was looked at so recently is not idle. */
const trustMs = 1000;

/** In each folder: whose it is. */
export const ownerFile = "owner";
const folderName = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.\d+\.[0-9a-f]{12}$/;

async function describe(path: string): Promise<ScratchFolder | null> {
  try {
    const found = await lstat(path);
    if (!found.isDirectory()) return null;
    return { path, owner: await ownerOf(path), createdAt: found.birthtimeMs || found.ctimeMs };
  } catch (error) {
    // Somebody else removed it between the two looks.
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

async function ownerOf(path: string): Promise<Owner | null> {
  try {
    return parseOwner(await readFile(join(path, ownerFile), "utf8"));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** No more than most tasks leave: to wake a thread for each of so few costs more than they do. */
const fewFiles = 4;

/** The files in a folder that holds few, and the folders within it; null: there is more to it. */
function fewIn(top: string): { readonly files: readonly string[]; readonly folders: readonly string[] } | null {
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of readdirSync(top, { withFileTypes: true })) {
    const path = join(top, entry.name);
    if (!entry.isDirectory()) files.push(path);
    else {
      if (folders.push(path) > 1) return null;
      const inner = readdirSync(path, { withFileTypes: true });
      if (inner.some((each) => each.isDirectory())) return null;
      files.push(...inner.map(({ name }) => join(path, name)));
    }
    if (files.length > fewFiles) return null;
  }
  return { files, folders };
}

function removeFew(top: string, { files, folders }: NonNullable<ReturnType<typeof fewIn>>): void {
  const owner = join(top, ownerFile);
  for (const path of files) if (path !== owner) unlinkSync(path);
  for (const path of folders) rmdirSync(path);
  if (files.includes(owner)) unlinkSync(owner);
  rmdirSync(top);
}

/**
 * Empties the folder from the top: folders of the second level move up to the first before theirs goes, so no path is
 * ever longer than two levels, however deep the tree. The owner's file goes last: a removal that was cut short is
 * still somebody's, and can be taken up again.
 */
async function removeTree(top: string, signal: AbortSignal): Promise<void> {
  try {
    signal.throwIfAborted();
    const few = fewIn(top);
    if (few !== null) return removeFew(top, few);
    for (let moved = 0, again = true; again; ) {
      again = false;
      for (const entry of await readdir(top, { withFileTypes: true })) {
        signal.throwIfAborted();
        const path = join(top, entry.name);
        if (!entry.isDirectory()) {
          if (entry.name !== ownerFile) await unlink(path);
          continue;
        }
        for (const inner of await readdir(path, { withFileTypes: true })) {
          const innerPath = join(path, inner.name);
          if (inner.isDirectory()) {
            again = true;
            await rename(innerPath, join(top, `moved-${process.pid}-${moved++}`));
          } else await unlink(innerPath);
        }
        await rmdir(path);
      }
    }
    await unlink(join(top, ownerFile)).catch((error: unknown) => {
      if (codeOf(error) !== "ENOENT") throw error;
    });
    await rmdir(top);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    // Another process is at the same removal: it ends the matter.
  }
}
