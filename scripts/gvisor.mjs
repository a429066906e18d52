// gVisor, which the tests run on beside runc: its program built from its Go module, and named to the engine.
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultSocket, enginePid } from "./engine.mjs";
import { goContainer, hasHostGo } from "./go.mjs";
import { refusalToChange } from "./permission.mjs";
import { checkout, findProgram, output, runQuietly, SetupError, tell } from "./step.mjs";

const version = "v0.0.0-20260224225140-573d5e7127a8";
const module = `gvisor.dev/gvisor/runsc@${version}`;
/** The oldest Go that its go.mod takes. */
const oldestGo = "1.26";
const cache = join(checkout, "node_modules/.cache/tool-executor", `runsc-${version}`);
const installed = "/usr/local/bin/runsc";
const runtimeArgs = ["--platform=systrap", "--oci-seccomp"];
const reloadTimeoutMs = 10_000;

/**
 * Returns once the engine has a runtime called runsc. One that is there is left as it is, and so is a program runsc on the
 * path. Throws a SetupError that says what to do where it cannot be had.
 */
export async function requireGvisor() {
  if ((await runtimes()).includes("runsc")) return;
  const address = process.env.DOCKER_HOST ?? "";
  if (address !== "" && address !== `unix://${defaultSocket}`) throw missing(`the engine is elsewhere (${address})`);
  const pid = await enginePid();
  if (pid === null) throw missing("its process is not to be found on this machine");
  const question = `Put gVisor into ${installed} and name it in the engine's settings?`;
  const refusal = await refusalToChange(question);
  if (refusal !== null) throw missing(refusal);
  const path = (await findProgram("runsc")) ?? (await install());
  const settings = await settingsFile(pid);
  await register(settings, path);
  await reload(pid, settings);
}

async function runtimes() {
  const printed = await output("docker", ["info", "--format", "{{json .Runtimes}}"]);
  if (printed === null)
    throw new SetupError("docker info failed, or there is no docker client: apt-get install docker.io");
  return Object.keys(JSON.parse(printed) ?? {});
}

async function install() {
  const built = join(cache, "runsc");
  if ((await output(built, ["--version"])) === null) await build();
  // Beside its place first: an engine must never start half of it.
  const trial = `${installed}.new`;
  await copyFile(built, trial);
  await rename(trial, installed);
  return installed;
}

/** Without cgo: the program starts itself again in an empty root, where no loader is. */
async function build() {
  tell(`building gVisor ${version} (one or two minutes, once)`);
  const trial = `${cache}.new`;
  await rm(trial, { recursive: true, force: true });
  await mkdir(trial, { recursive: true });
  if (await hasHostGo(oldestGo)) {
    await runQuietly("building gVisor", "go", ["install", module], { CGO_ENABLED: "0", GOBIN: trial });
  } else {
    const container = await goContainer("bridge");
    try {
      const inside = ["exec", "--env", "CGO_ENABLED=0", "--env", "GOBIN=/src", container.id, "go", "install", module];
      await runQuietly("building gVisor", "docker", inside);
      await container.docker("cp", `${container.id}:/src/runsc`, join(trial, "runsc"));
    } finally {
      await container.end();
    }
  }
  await rm(cache, { recursive: true, force: true });
  await rename(trial, cache);
}

/** Where this engine reads its settings. */
async function settingsFile(pid) {
  const args = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
  const named = args.find((arg) => arg.startsWith("--config-file="))?.slice("--config-file=".length);
  return named ?? args[args.indexOf("--config-file") + 1 || args.length] ?? "/etc/docker/daemon.json";
}

/** What else stands in the file stays as it is. */
async function register(path, program) {
  const { settings, mode } = await readSettings(path);
  const runsc = { path: program, runtimeArgs };
  const merged = { ...settings, runtimes: { ...settings.runtimes, runsc } };
  tell(`naming ${program} in ${path}`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, `${JSON.stringify(merged, null, 2)}\n`, { mode });
  await rename(`${path}.new`, path);
}

async function readSettings(path) {
  try {
    const [text, { mode }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    return { settings: text.trim() === "" ? {} : JSON.parse(text), mode: mode & 0o777 };
  } catch (error) {
    if (error.code === "ENOENT") return { settings: {}, mode: 0o644 };
    throw new SetupError(`${path} cannot be read (${error.message}); mend it, then run this again`);
  }
}

/** The engine reads its settings again; nothing that runs is disturbed. */
async function reload(pid, settings) {
  process.kill(pid, "SIGHUP");
  const deadlineAt = Date.now() + reloadTimeoutMs;
  while (Date.now() < deadlineAt) {
    if ((await runtimes()).includes("runsc")) return tell("the engine has the runtime runsc");
    await sleep(200);
  }
  throw new SetupError(
    `the engine did not take the runtime runsc from ${settings} within ${reloadTimeoutMs / 1000} s; its log says why`,
  );
}

function missing(reason) {
  return new SetupError(
    [
      `the tests need gVisor, and this engine has no runtime called runsc; it was not set up because ${reason}. As root on the engine's machine:`,
      `  CGO_ENABLED=0 GOBIN=${dirname(installed)} go install ${module}`,
      `  put into /etc/docker/daemon.json: ${JSON.stringify({ runtimes: { runsc: { path: installed, runtimeArgs } } })}`,
      "  kill -HUP $(cat /var/run/docker.pid)",
    ].join("\n"),
  );
}
