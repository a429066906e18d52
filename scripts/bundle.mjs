// Puts the program together in a few files instead of hundreds, which start in two thirds of the time: dist/<what it was made from>/, and
// dist/current leads there. A build stays as it is for as long as a process may load the rest of it. Runs on the pinned Node.
import { createHash } from "node:crypto";
import { readdir, readFile, rename, rm, stat, symlink, utimes } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { rolldown } from "rolldown";
import { asProgram, checkout } from "./step.mjs";
import { writeValidators } from "./validators.mjs";

const dist = join(checkout, "dist");
const keptBuilds = 3;
/** What decides, beside the sources, what is made of them. */
const ownFiles = [import.meta.filename, join(import.meta.dirname, "validators.mjs")];

/**
 * Whoever imports `node:http` as a module asks for each of its names, and one of them loads the client of `fetch`: 10 ms of a start, for
 * nothing. This has its plain names only.
 */
const httpModule = "node:http";
const plainHttp = {
  name: "plain-http",
  resolveId: (id) => (id === httpModule ? `\0${httpModule}` : null),
  load(id) {
    if (id !== `\0${httpModule}`) return null;
    const all = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule(httpModule)));
    const plain = all.filter(([, { get }]) => get === undefined).map(([name]) => name);
    const whole = `process.getBuiltinModule("${httpModule}")`;
    return `export default ${whole};\nexport const { ${plain.join(", ")} } = ${whole};`;
  },
};

/** Packages that every command needs, and what those need: in a place of their own each file of theirs has to be found. */
const inlined = new Set([
  ...["commander", "mime", "mime/lite", "tar-stream"],
  ...["b4a", "events-universal", "fast-fifo", "streamx", "text-decoder"],
]);

await asProgram(async () => {
  const startedAt = new Date();
  const name = await inputsHash();
  const build = join(dist, name);
  const program = join(build, "main.mjs");
  if (!(await isThere(program))) await bundle(build);
  // bin/toolx takes it for as long as no source is newer.
  await utimes(program, startedAt, startedAt);
  await pointTo(name);
  await dropOld(name);
  return 0;
});

async function inputsHash() {
  const hash = createHash("sha256");
  const below = await readdir(join(checkout, "src"), { recursive: true, withFileTypes: true });
  const paths = below.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const path of [...paths.sort(), join(checkout, "package-lock.json"), ...ownFiles]) {
    const bytes = await readFile(path);
    hash.update(`${relative(checkout, path)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex").slice(0, 16);
}

/** Whole or not at all. */
async function bundle(folder) {
  const making = `${folder}.${process.pid}`;
  const built = await rolldown({
    cwd: checkout,
    input: { main: join(checkout, "src/main.ts") },
    platform: "node",
    external: (id) => id !== httpModule && !/^[./]/.test(id) && !inlined.has(id),
    plugins: [{ name: "places", transform: withPlaces }, plainHttp],
  });
  await built.write({
    dir: making,
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name]-[hash].mjs",
  });
  await built.close();
  await writeValidators(join(making, "validators"));
  await rename(making, folder).catch(async (error) => {
    await rm(making, { recursive: true, force: true });
    // Somebody else was faster.
    if (!(await isThere(join(folder, "main.mjs")))) throw error;
  });
}

/** A module finds the files beside it where they are, from the folder of the build. */
function withPlaces(code, id) {
  const place = JSON.stringify(`/../../${relative(checkout, dirname(id))}`);
  return code.replaceAll(/\b(join|resolve)\(import\.meta\.dirname\b/g, `$1(import.meta.dirname + ${place}`);
}

async function pointTo(name) {
  const making = join(dist, `current.${process.pid}`);
  await rm(making, { force: true });
  await symlink(name, making);
  await rename(making, join(dist, "current"));
}

/** All but the newest few. */
async function dropOld(current) {
  const names = (await readdir(dist)).filter((name) => /^[0-9a-f]{16}$/.test(name) && name !== current);
  const builds = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(dist, name))).mtimeMs })));
  builds.sort((a, b) => b.at - a.at);
  for (const { name } of builds.slice(keptBuilds - 1)) await rm(join(dist, name), { recursive: true, force: true });
}

async function isThere(path) {
  return (await stat(path).catch(() => null)) !== null;
}
