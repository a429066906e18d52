// What only the tests need: gVisor on the engine, and a registry, unpacked from Debian's package into the checkout.
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { requireGvisor } from "./gvisor.mjs";
import { checkout, exitCode, findProgram, output, SetupError, tell } from "./step.mjs";

const folder = join(checkout, "node_modules/.cache/tool-executor");

/** Throws a SetupError that says what is missing and what to do about it. */
export async function installPrerequisites() {
  await requireGvisor();
  await requireRegistry();
}

/** Leaves a `docker-registry` on the path or in node_modules/.cache/tool-executor. Nothing is started, and root is not needed. */
async function requireRegistry() {
  const name = "docker-registry";
  if ((await findProgram(name)) !== null) return;
  const place = join(folder, name);
  if ((await output(join(place, "usr/bin", name), ["--version"])) !== null) return;
  tell(`unpacking ${name} for the tests`);
  const trial = join(folder, `${name}.new`);
  await rm(trial, { recursive: true, force: true });
  await mkdir(join(trial, "lists/partial"), { recursive: true });
  if (!(await unpack(name, trial))) {
    throw new SetupError(
      `the tests need Debian's package ${name}, and apt could not fetch it: apt-get install ${name}`,
    );
  }
  await rm(place, { recursive: true, force: true });
  await rename(join(trial, "root"), place);
  await rm(trial, { recursive: true, force: true });
}

/** With package lists of our own where the machine's are missing or old. */
async function unpack(name, dir) {
  const download = (options) => exitCode("apt-get", [...options, "--quiet", "download", name], { cwd: dir, stdout: 2 });
  if ((await download([])) !== 0) {
    const own = [`-oDir::State::lists=${join(dir, "lists")}`, `-oDir::Cache=${dir}`];
    if ((await exitCode("apt-get", [...own, "--quiet", "update"], { stdout: 2 })) !== 0) return false;
    if ((await download(own)) !== 0) return false;
  }
  const archive = (await readdir(dir)).find((file) => file.endsWith(".deb"));
  if (archive === undefined) return false;
  return (await exitCode("dpkg", ["--extract", join(dir, archive), join(dir, "root")], { stdout: 2 })) === 0;
}
