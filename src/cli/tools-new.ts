import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { openCatalog, toolsDirOf } from "../app/custom-tools.ts";
import { ExecutorError } from "../model/failure.ts";
import { toolNameSchema } from "../tools/custom/manifest-schema.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";
import { newToolFiles } from "./new-tool-files.ts";
import { badFlag } from "./quantities.ts";

/**
 * `toolx tools new`: makes a folder with a tool that works, in `dir` or, without one, where it is found without a setting. Prints
 * the folder's path.
 * @throws ExecutorError validation, for a name that cannot be or is taken, or a folder that is there; nothing is left then.
 */
export async function toolsNew(context: CliContext, name: string, dir: string | undefined): Promise<void> {
  const { io } = context;
  if (!new RegExp(String(toolNameSchema.pattern)).test(name))
    throw badFlag("tool name", name, String(toolNameSchema.says));
  const catalog = await openCatalog(context.config());
  if (catalog.list().some((tool) => tool.name === name)) throw badFlag("tool name", name, "a name that no tool has");
  const toolsDir = toolsDirOf(context.config());
  const folder = resolve(io.cwd, dir ?? toolsDir, name);
  await makeFolder(folder, name);
  try {
    await fill(folder, name, context.programDir);
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    throw unwritable(folder, cause);
  }
  await written(io.stdout, `${folder}\n`);
  if (dirname(folder) !== toolsDir) say(io, `to have it found, set TOOL_EXECUTOR_TOOLS=${folder}`);
}

async function makeFolder(folder: string, name: string): Promise<void> {
  try {
    await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
    await mkdir(folder);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST")
      throw badFlag("tool name", name, `one whose folder is not there yet (${folder} is)`);
    throw unwritable(folder, cause);
  }
}

async function fill(folder: string, name: string, programDir: string): Promise<void> {
  for (const { path, text, executable } of newToolFiles(name)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text, { flag: "wx" });
    if (executable) await chmod(file, 0o755);
  }
  await linkKit(folder, programDir);
}

/** Lets the contract test import the kit by its name. Inside the checkout it can without. */
async function linkKit(folder: string, programDir: string): Promise<void> {
  try {
    createRequire(join(folder, "tool.test.mjs")).resolve("tool-executor/kit");
  } catch {
    await mkdir(join(folder, "node_modules"));
    await symlink(programDir, join(folder, "node_modules", "tool-executor"));
  }
}

const unwritable = (folder: string, cause: unknown): ExecutorError =>
  new ExecutorError("validation", `${folder}: the folder cannot be made (${codeOf(cause)})`, { cause });

const codeOf = (cause: unknown): string => (cause instanceof Error && "code" in cause ? String(cause.code) : "unknown");
