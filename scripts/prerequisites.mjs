// What only the tests need: gVisor on the engine, and two programs, unpacked from Debian's packages into the checkout.
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { requireGvisor } from "./gvisor.mjs";
import { checkout, exitCode, findProgram, output, SetupError, tell } from "./step.mjs";

const folder = join(checkout, "node_modules/.cache/tool-executor");

/** Throws a SetupError that says what is missing and what to do about it. */
export async function installPrerequisites() {
  await requireGvisor();
  await requireProgram("docker-registry", "docker-registry");
  await requireProgram("bsdtar", "libarchive-tools", ["libarchive13", "libxml2", "libicu72"]);
}

/**
 * Leaves a program on the path or in node_modules/.cache/tool-executor, with those of its `libraries` that are to be had: most machines
 * have them anyway. Nothing is started, and root is not needed.
 */
async function requireProgram(name, packageName, libraries = []) {
  if ((await findProgram(name)) !== null) return;
  const place = join(folder, name);
  if (await runs(place, name)) return;
  tell(`unpacking ${name} for the tests`);
  const trial = join(folder, `${name}.new`);
  await rm(trial, { recursive: true, force: true });
  await mkdir(join(trial, "lists/partial"), { recursive: true });
  const root = join(trial, "root");
  for (const library of libraries) await unpack(library, trial);
  if (!(await unpack(packageName, trial)) || !(await runs(root, name))) {
    throw new SetupError(
      `the tests need ${name}, and what apt could fetch of it does not run: apt-get install ${packageName}`,
    );
  }
  await rm(place, { recursive: true, force: true });
  await rename(root, place);
  await rm(trial, { recursive: true, force: true });
}

/** Whether the program that was unpacked to `place` starts, with the libraries that came with it. */
async function runs(place, name) {
  const libraries = ["x86_64", "aarch64"].map((machine) => join(place, `usr/lib/${machine}-linux-gnu`)).join(":");
  return (await output("env", [`LD_LIBRARY_PATH=${libraries}`, join(place, "usr/bin", name), "--version"])) !== null;
}

/** With package lists of our own where the machine's are missing or old. */
async function unpack(name, dir) {
  const download = (options) => exitCode("apt-get", [...options, "--quiet", "download", name], { cwd: dir, stdout: 2 });
  if ((await download([])) !== 0) {
    const own = [`-oDir::State::lists=${join(dir, "lists")}`, `-oDir::Cache=${dir}`];
    if ((await exitCode("apt-get", [...own, "--quiet", "update"], { stdout: 2 })) !== 0) return false;
    if ((await download(own)) !== 0) return false;
  }
  const archive = (await readdir(dir)).find((file) => file.startsWith(`${name}_`) && file.endsWith(".deb"));
  if (archive === undefined) return false;
  return (await exitCode("dpkg", ["--extract", join(dir, archive), join(dir, "root")], { stdout: 2 })) === 0;
}
