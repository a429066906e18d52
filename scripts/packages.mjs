// The npm packages, and the Node version they pin.
import { readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { checkout, endWhatRuns, exitCode, output, run, SetupError, tell } from "./step.mjs";

const wantedMajor = 24;
/** The Node that the packages bring. */
export const pinnedNode = join(checkout, "node_modules/.bin/node");

/** Leaves node_modules as package-lock.json says, with a Node 24 in it. Quick when it is so already. */
export async function installPackages() {
  if (!(await isInstalled())) {
    tell("installing npm packages");
    // Its warnings are of the Node that npm runs on here; the packages run on the one that they bring.
    await run("installing npm packages", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  }
  if (await hasWantedNode()) return;
  // npm can be told, or may decide, not to run install scripts; the package `node` fetches its binary in one.
  tell(`fetching Node ${wantedMajor}`);
  const script = join(checkout, "node_modules/node/installArchSpecificPackage.js");
  await run("fetching Node", process.execPath, [
    "-e",
    `process.chdir("node_modules/node"); require(${JSON.stringify(script)})`,
  ]);
  // npm makes its link only to a binary that is there already.
  await rm(pinnedNode, { force: true });
  await symlink("../node/bin/node", pinnedNode);
  if (!(await hasWantedNode())) {
    throw new SetupError(
      `node_modules/.bin/node is not Node ${wantedMajor} after npm ci; remove node_modules and try again`,
    );
  }
}

/**
 * Installs the packages, and runs this program once more on the Node that they bring, where this is another: from there on it may load
 * our sources. Answers its exit code; null when this is that Node.
 */
export async function onPinnedNode() {
  await installPackages();
  if (process.versions.node.startsWith(`${wantedMajor}.`)) return null;
  process.on("SIGINT", endWhatRuns).on("SIGTERM", endWhatRuns);
  return await exitCode(pinnedNode, process.argv.slice(1));
}

/** Whether every package of the lock file is there in its version, as npm noted when it last finished. */
async function isInstalled() {
  const [wanted, noted] = await Promise.all([
    readLock(join(checkout, "package-lock.json")),
    readLock(join(checkout, "node_modules/.package-lock.json")),
  ]);
  if (wanted === null) throw new SetupError("package-lock.json is missing or unreadable: the checkout is not complete");
  if (noted === null) return false;
  const isThere = ([path, entry]) =>
    path === "" || noted[path]?.version === entry.version || (entry.optional === true && noted[path] === undefined);
  return Object.entries(wanted).every(isThere);
}

async function readLock(path) {
  try {
    return JSON.parse(await readFile(path, "utf8")).packages ?? null;
  } catch {
    return null;
  }
}

async function hasWantedNode() {
  const version = await output(pinnedNode, ["--version"]);
  return version?.startsWith(`v${wantedMajor}.`) === true;
}
