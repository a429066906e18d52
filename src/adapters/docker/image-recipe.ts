import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";

/** A file of a build context. `path` is relative, with `/`. */
export interface ContextFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly executable: boolean;
}

/** What one image is made from. Two recipes with the same `inputs` make the same image. */
export interface ImageRecipe {
  readonly name: string;
  /** sha256 (hex) over everything the image is made from, the base image's `inputs` included. */
  readonly inputs: string;
  readonly files: readonly ContextFile[];
  /** The shell script that shows the image to be what it promises. */
  readonly smokeTest: string;
}

/** The base is built on a Debian root; all others on the base. */
export interface ImageRecipes {
  readonly base: ImageRecipe;
  readonly others: readonly ImageRecipe[];
}

const baseName = "base";
const initFolder = "init";

// Counts up when the builder itself changes what comes out of the same files.
const recipeVersion = 1;

/**
 * The recipe of every folder of `imagesDir` that holds a Dockerfile.
 * `baseImage` is the reference of the Debian root as it was asked for, not what it turned out to be.
 * @throws ExecutorError image, when a folder or what must be in it cannot be read.
 */
export async function readRecipes(imagesDir: string, baseImage: string): Promise<ImageRecipes> {
  const names = await recipeNames(imagesDir);
  const [own, init] = await Promise.all([
    readFolder(join(imagesDir, baseName), isBuildInput),
    readFolder(join(imagesDir, initFolder), isInitSource),
  ]);
  const base = await readRecipe(imagesDir, baseName, baseImage, [
    ...own,
    ...init.map((file) => ({ ...file, path: `${initFolder}/${file.path}` })),
  ]);
  const others = await Promise.all(
    names.map(async (name) => {
      const files = await readFolder(join(imagesDir, name), isBuildInput);
      return await readRecipe(imagesDir, name, base.inputs, files);
    }),
  );
  return { base, others };
}

async function readRecipe(
  imagesDir: string,
  name: string,
  origin: string,
  files: readonly ContextFile[],
): Promise<ImageRecipe> {
  return { name, inputs: hashInputs(origin, files), files, smokeTest: await readSmokeTest(imagesDir, name) };
}

async function recipeNames(imagesDir: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const entry of await listFolder(imagesDir)) {
    if (entry.isDirectory() && (await isFile(join(imagesDir, entry.name, "Dockerfile")))) names.push(entry.name);
  }
  if (!names.includes(baseName)) {
    throw new ExecutorError("image", `image folder ${imagesDir} has no ${baseName}/Dockerfile; every image needs it`);
  }
  return names.filter((name) => name !== baseName).sort();
}

/** The general test of every image, then the image's own. */
async function readSmokeTest(imagesDir: string, name: string): Promise<string> {
  const names = name === baseName ? [baseName] : [baseName, name];
  const scripts = await Promise.all(
    names.map((each) =>
      readFile(join(imagesDir, each, "smoke.sh"), "utf8").catch((cause: unknown) => {
        throw new ExecutorError("image", `image ${each} needs a smoke test: ${join(imagesDir, each, "smoke.sh")}`, {
          cause,
        });
      }),
    ),
  );
  return scripts.join("\n");
}

// What is written about an image, or only run against it, must not make it be built again.
function isBuildInput(path: string): boolean {
  return path !== "README.md" && path !== "smoke.sh";
}

function isInitSource(path: string): boolean {
  return (path.endsWith(".go") && !path.endsWith("_test.go")) || path === "go.mod" || path === "go.sum";
}

/** Names, executable bits and bytes in a fixed order, each with its length, so that no two lists read the same. */
export function hashInputs(origin: string, files: readonly ContextFile[]): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([recipeVersion, origin]));
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    hash.update(JSON.stringify([file.path, file.executable, file.bytes.length]));
    hash.update(file.bytes);
  }
  return hash.digest("hex");
}

/** Every regular file below `dir` whose relative path `keep` wants. Links are left out: what they name may change unseen. */
async function readFolder(dir: string, keep: (path: string) => boolean): Promise<readonly ContextFile[]> {
  const files: ContextFile[] = [];
  const visit = async (relative: string): Promise<void> => {
    for (const entry of await listFolder(join(dir, relative))) {
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory() && entry.name !== "testdata") await visit(path);
      if (!entry.isFile() || !keep(path)) continue;
      const [bytes, { mode }] = await Promise.all([readFile(join(dir, path)), stat(join(dir, path))]);
      files.push({ path, bytes, executable: (mode & 0o100) !== 0 });
    }
  };
  await visit("");
  return files;
}

async function listFolder(dir: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (cause) {
    throw new ExecutorError("image", `read image folder ${dir}`, { cause });
  }
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
