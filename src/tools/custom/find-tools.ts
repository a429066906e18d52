import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { brokenTool, type FoundTool } from "./found-tool.ts";
import { importTools, packageEntry } from "./import-tools.ts";
import { manifestName, readToolFolder } from "./read-tool-folder.ts";

/** Where custom tools are looked for. */
export interface ToolPlaces {
  /** A folder of tools' folders that need not be there. No module is taken from it. */
  readonly toolsDir: string;
  /** Folders, modules (both as paths with a slash) and names of packages, as an operator gave them. */
  readonly sources: readonly string[];
  /** What relative paths are relative to. */
  readonly cwd: string;
  /** Where packages are looked up, in order. */
  readonly packagesFrom: readonly string[];
}

/** Every custom tool there is, the broken ones too, in the order of the places. Whatever is reached twice is taken once. */
export async function findTools(places: ToolPlaces): Promise<readonly FoundTool[]> {
  const groups: (() => Promise<readonly FoundTool[]>)[] = [
    async () => ((await isFolder(places.toolsDir)) ? await foldersIn(places.toolsDir) : []),
  ];
  for (const source of places.sources) groups.push(() => toolsOf(source, places));
  const found: FoundTool[] = [];
  for (const group of groups) {
    const before = new Set(found.map(({ source }) => source));
    found.push(...(await group()).filter(({ source }) => !before.has(source)));
  }
  return found;
}

/**
 * The tools that one entry of `TOOL_EXECUTOR_TOOLS` means: a tool's folder, a folder of such, a module, or a package. What means
 * nothing is a broken tool too.
 */
export async function toolsOf(source: string, { cwd, packagesFrom }: ToolPlaces): Promise<readonly FoundTool[]> {
  if (isPackageName(source)) {
    const entry = packageEntry(source, packagesFrom);
    if (entry !== null) return await importTools(entry, source);
    const where = packagesFrom.join(", ");
    return [
      brokenTool(source, source, [
        `no such package is found from ${where}; a path is written with a slash: ./${source}`,
      ]),
    ];
  }
  const path = await realpath(resolve(cwd, source)).catch(() => null);
  if (path === null) return [brokenTool(basename(source), source, ["there is no such file or folder"])];
  if (!(await isFolder(path))) {
    if (/\.[cm]?[jt]s$/.test(path)) return await importTools(path, path);
    return [
      brokenTool(basename(path), path, ["it is neither a folder nor a module (.mjs, .js, .cjs, .ts, .mts, .cts)"]),
    ];
  }
  if (await hasManifest(path)) return [await readToolFolder(path)];
  const tools = await foldersIn(path);
  return tools.length > 0
    ? tools
    : [brokenTool(basename(path), path, [`no ${manifestName} in it, nor in a folder below it`])];
}

/** The tools in the folders right below this one. Links are not followed but named, so that nobody wonders. */
async function foldersIn(folder: string): Promise<readonly FoundTool[]> {
  const parent = await realpath(folder);
  const entries = await readdir(parent, { withFileTypes: true }).catch(() => null);
  if (entries === null) return [brokenTool(basename(parent), parent, ["the folder cannot be read"])];
  const found: FoundTool[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(parent, entry.name);
    if (entry.isSymbolicLink())
      found.push(brokenTool(entry.name, path, ["it is a link, and links are not followed: name its target itself"]));
    else if (entry.isDirectory() && (await hasManifest(path))) found.push(await readToolFolder(path));
  }
  return found;
}

/** As npm has them, with a path inside the package; everything else is a path. */
const isPackageName = (source: string): boolean =>
  /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*(?:\/[A-Za-z0-9._~-]+)*$/.test(source) &&
  (source.startsWith("@") || !/\.[cm]?[jt]s$/.test(source));

const hasManifest = (folder: string): Promise<boolean> =>
  lstat(join(folder, manifestName)).then(
    () => true,
    () => false,
  );

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
