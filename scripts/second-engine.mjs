// A newer engine beside the installed one, for the tests that are to hold on both: built from its Go modules, on folders,
// a socket and a bridge of its own. Root only.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { goContainer } from "./go.mjs";
import { checkout, endOf, findProgram, output, run, runQuietly, SetupError, tell } from "./step.mjs";

/** Each program with its module; the one that filters system calls needs a C compiler and a library. */
const programs = [
  {
    name: "dockerd",
    module: "github.com/moby/moby/v2/cmd/dockerd",
    version: "v2.0.0-beta.24",
    // The engine of Docker 29; built from its module it knows no version of its own.
    stamp: "-X github.com/moby/moby/v2/dockerversion.Version=29-v2.0.0-beta.24",
  },
  { name: "containerd", module: "github.com/containerd/containerd/v2/cmd/containerd", version: "v2.4.2" },
  {
    name: "containerd-shim-runc-v2",
    module: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    version: "v2.4.2",
  },
  { name: "runc", module: "github.com/opencontainers/runc", version: "v1.3.4", tags: "seccomp", cgo: true },
];
const libraries = ["gcc", "libc6-dev", "libseccomp-dev", "pkg-config"];
const inputs = createHash("sha256")
  .update(JSON.stringify([programs, libraries]))
  .digest("hex")
  .slice(0, 12);
const cache = join(checkout, "node_modules/.cache/tool-executor", `engine-${inputs}`);

/** At most 15 characters, the kernel's bound. Two of these engines at once would need two names, and two machines. */
const bridge = "toolx-second";
/** Of a block that is kept for measurements between networks: no host of anybody's is in it. */
const bridgeAddress = "198.18.29.1/24";
const startTimeoutMs = 60_000;
const stopTimeoutMs = 20_000;

/**
 * A running engine; `dockerHost` is its address for DOCKER_HOST. `stop` ends it and takes away its folders and its bridge.
 * The same when this process is ended by a signal is up to the caller.
 */
export async function startSecondEngine() {
  if (process.getuid() !== 0) throw new SetupError("a second engine can be started by root only");
  await requirePrograms();
  // Short: a socket's path has room for 108 characters.
  const folder = await mkdtemp("/var/tmp/toolx-engine-");
  const log = await open(join(folder, "log"), "a");
  const children = [];
  const start = (name, args) => {
    const env = { ...process.env, PATH: `${cache}:${process.env.PATH}` };
    const child = spawn(join(cache, name), args, { detached: true, stdio: ["ignore", log.fd, log.fd], env });
    children.push(child);
    return child;
  };
  const stop = async () => {
    for (const child of children.toReversed()) await ended(child);
    await log.close();
    await output("ip", ["link", "del", bridge]);
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await makeBridge();
    await startContainerd(folder, start);
    await startDockerd(folder, start);
    const dockerHost = `unix://${folder}/docker.sock`;
    await untilItAnswers(dockerHost, children, folder);
    return { dockerHost, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function requirePrograms() {
  if ((await output(join(cache, "runc"), ["--version"])) !== null) return;
  tell("building a second engine from its Go modules (three to six minutes, once)");
  const trial = `${cache}.new`;
  await rm(trial, { recursive: true, force: true });
  await mkdir(trial, { recursive: true });
  const container = await goContainer("bridge");
  const inside = (env, ...args) => [
    "exec",
    ...Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    container.id,
    ...args,
  ];
  try {
    const install = `apt-get -qq update && apt-get -qq --yes --no-install-recommends install ${libraries.join(" ")}`;
    await runQuietly("installing a C compiler in the build", "docker", inside({}, "sh", "-c", install));
    for (const { name, module, version, stamp, tags, cgo } of programs) {
      tell(`building ${name} ${version}`);
      const env = { CGO_ENABLED: cgo ? "1" : "0", GOBIN: "/src" };
      const flags = ["-ldflags", ["-s -w", ...(stamp ? [stamp] : [])].join(" "), ...(tags ? ["-tags", tags] : [])];
      await runQuietly(`building ${name}`, "docker", inside(env, "go", "install", ...flags, `${module}@${version}`));
      await container.docker("cp", `${container.id}:/src/${name}`, join(trial, name));
      await chmod(join(trial, name), 0o755);
    }
  } finally {
    await container.end();
  }
  await rename(trial, cache);
}

async function makeBridge() {
  if ((await findProgram("ip")) === null)
    throw new SetupError("a second engine needs the program ip: apt-get install iproute2");
  await output("ip", ["link", "del", bridge]);
  await run("making a bridge", "ip", ["link", "add", bridge, "type", "bridge"]);
  await run("making a bridge", "ip", ["address", "add", bridgeAddress, "dev", bridge]);
  await run("making a bridge", "ip", ["link", "set", bridge, "up"]);
}

async function startContainerd(folder, start) {
  const config = join(folder, "containerd.toml");
  const unused = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];
  await writeFile(config, `version = 3\ndisabled_plugins = ${JSON.stringify(unused)}\n`);
  start("containerd", [
    ...["--config", config, "--root", `${folder}/containerd`, "--state", `${folder}/containerd-state`],
    ...["--address", `${folder}/containerd.sock`],
  ]);
}

async function startDockerd(folder, start) {
  const config = join(folder, "daemon.json");
  const gvisor = await findProgram("runsc");
  const runsc = { path: gvisor, runtimeArgs: ["--platform=systrap", "--oci-seccomp"] };
  await writeFile(config, JSON.stringify({ runtimes: gvisor === null ? {} : { runsc } }));
  // Never `--bridge none`: that takes the bridge of the engine that is here already.
  start("dockerd", [
    ...["--config-file", config, "--host", `unix://${folder}/docker.sock`, "--pidfile", `${folder}/docker.pid`],
    ...["--data-root", `${folder}/docker`, "--exec-root", `${folder}/docker-exec`],
    ...["--containerd", `${folder}/containerd.sock`, "--containerd-namespace", "toolx-second"],
    ...["--containerd-plugins-namespace", "toolx-second-plugins"],
    ...["--bridge", bridge, "--iptables=false", "--ip6tables=false", "--userland-proxy=false"],
  ]);
}

async function untilItAnswers(dockerHost, children, folder) {
  const deadlineAt = Date.now() + startTimeoutMs;
  const isUp = () => children.every(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  while (isUp() && Date.now() < deadlineAt) {
    const version = await output("docker", ["--host", dockerHost, "version", "--format", "{{.Server.Version}}"]);
    if (version !== null) return tell(`a second engine answers: ${version.trim()}`);
    await sleep(200);
  }
  const log = await readFile(join(folder, "log"), "utf8");
  throw new SetupError(`the second engine did not start:\n${endOf(log)}`);
}

/** SIGTERM, and SIGKILL for one that stays. */
async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const stopped = await Promise.race([gone.then(() => true), sleep(stopTimeoutMs, false, { ref: false })]);
  if (!stopped) child.kill("SIGKILL");
  await gone;
}

/** What an engine that was killed left mounted; the deepest first. */
async function unmountBelow(folder) {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const place of mounts.filter((one) => one.startsWith(`${folder}/`)).toReversed())
    await output("umount", ["--lazy", place]);
}
