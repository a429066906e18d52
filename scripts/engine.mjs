// The container engine: found, started or installed.
import { spawn } from "node:child_process";
import { open, readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { refusalToInstall } from "./permission.mjs";
import { endOf, findProgram, run, runQuietly, SetupError, tell } from "./step.mjs";

export const defaultSocket = "/var/run/docker.sock";
const logPath = "/var/log/dockerd.log";
const startTimeoutMs = 60_000;
const answerTimeoutMs = 10_000;
const packages = ["docker.io", "iptables"];

/** Returns once an engine answers; starts or installs one where there is none and we may. */
export async function requireEngine() {
  const address = process.env.DOCKER_HOST ?? "";
  const answer = await askEngine(address);
  if (answer === "ok") return;
  const named = address === "" ? defaultSocket : `DOCKER_HOST=${address}`;
  if (answer === "EACCES") throw new SetupError(notAllowed(named));
  if (address !== "" && address !== `unix://${defaultSocket}`) {
    throw new SetupError(`no Docker engine answers at ${named} (${answer}); start it, or unset DOCKER_HOST`);
  }
  const isInstalled = (await findProgram("dockerd")) !== null;
  if (process.getuid() !== 0) throw new SetupError(whatToDo(named, answer, isInstalled, "this user is not root"));
  if (!isInstalled) {
    const refusal = await refusalToInstall(packages.join(" and "));
    if (refusal !== null) throw new SetupError(whatToDo(named, answer, isInstalled, refusal));
    await install();
  }
  await start();
}

/** `ok`, or in one word why not. */
async function askEngine(address) {
  if (address === "" || address.startsWith("unix://")) {
    return await ping(address === "" ? defaultSocket : address.slice("unix://".length));
  }
  const tcp = /^(?:tcp|https?):\/\/\[?([^\]/]+?)\]?:(\d+)\/?$/.exec(address);
  // What is reached by ssh or the like can only be tried by its own client.
  return tcp === null ? "ok" : await reach(tcp[1], Number(tcp[2]));
}

function ping(socketPath) {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/_ping", timeout: answerTimeoutMs }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode === 200 ? "ok" : `HTTP ${answer.statusCode}`));
    });
    asked.once("timeout", () => asked.destroy(Object.assign(new Error("silent"), { code: "no answer" })));
    asked.once("error", (error) => resolve(error.code ?? error.message));
    asked.end();
  });
}

function reach(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: answerTimeoutMs });
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end("ok"));
    socket.once("timeout", () => end("no answer"));
    socket.once("error", (error) => end(error.code ?? error.message));
  });
}

async function install() {
  tell(`installing ${packages.join(" and ")}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await runQuietly("apt-get update", "apt-get", ["-qq", "update"], env);
  const args = ["-qq", "--yes", "--no-install-recommends", "install", ...packages];
  await runQuietly("installing the engine", "apt-get", args, env);
}

async function start() {
  if (await isFolder("/run/systemd/system")) {
    tell("starting the engine with systemd");
    await run("starting the engine", "systemctl", ["start", "docker"]);
    return await untilItAnswers(
      () => null,
      async () => "see: journalctl -u docker",
    );
  }
  // One may be on its way up, started by its package, or on its way down; two would fight for the same files.
  if (await answersWhileItRuns()) return;
  tell(`starting dockerd (its output goes to ${logPath})`);
  const log = await open(logPath, "a", 0o640);
  const { size } = await log.stat();
  try {
    let ended = null;
    // In a session of its own, so that it outlives this terminal.
    const engine = spawn("dockerd", [], { detached: true, stdio: ["ignore", log.fd, log.fd] });
    engine.once("error", (error) => {
      ended = error.message;
    });
    engine.once("exit", (code, signal) => {
      ended = `dockerd ended with ${signal ?? code}`;
    });
    engine.unref();
    await untilItAnswers(
      () => ended,
      () => endOfLog(size),
    );
  } finally {
    await log.close();
  }
}

async function untilItAnswers(whyEnded, whereToLook) {
  const deadlineAt = Date.now() + startTimeoutMs;
  let answer = "";
  while (whyEnded() === null && Date.now() < deadlineAt) {
    answer = await ping(defaultSocket);
    if (answer === "ok") return tell("the engine answers");
    await sleep(200);
  }
  const reason = whyEnded() ?? `no engine answered at ${defaultSocket} within ${startTimeoutMs / 1000} s (${answer})`;
  throw new SetupError(`the engine did not start: ${reason}\n${await whereToLook()}`);
}

/** Whether an engine that runs already comes to answer before it ends. */
async function answersWhileItRuns() {
  const deadlineAt = Date.now() + startTimeoutMs;
  while ((await enginePid()) !== null && Date.now() < deadlineAt) {
    if ((await ping(defaultSocket)) === "ok") return true;
    await sleep(200);
  }
  return false;
}

/** What was written to the engine's log from a place on. */
async function endOfLog(fromByte) {
  const log = await readFile(logPath).catch(() => Buffer.alloc(0));
  return `the end of ${logPath}:\n${endOf(log.subarray(fromByte).toString("utf8"))}`;
}

/** The process of this machine's own engine; `null` when none runs. */
export async function enginePid() {
  const pid = Number(await readFile("/var/run/docker.pid", "utf8").catch(() => ""));
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name.trim() === "dockerd" ? pid : null;
}

async function isFolder(path) {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function notAllowed(named) {
  return [
    `this user may not use the Docker engine at ${named} (permission denied). As root:`,
    `  usermod -aG docker ${userName()}`,
    "and log in again (a group counts from the next login on).",
  ].join("\n");
}

function whatToDo(named, answer, isInstalled, reason) {
  const install = `  apt-get update && apt-get install -y --no-install-recommends ${packages.join(" ")}`;
  return [
    `no Docker engine answers at ${named} (${answer}), and none is ${isInstalled ? "started" : "installed"}: ${reason}. As root:`,
    ...(isInstalled ? [] : [install]),
    `  systemctl start docker        # where no systemd runs: setsid dockerd >>${logPath} 2>&1 &`,
    ...(process.getuid() === 0 ? [] : [`  usermod -aG docker ${userName()}      # then log in again`]),
    "or point DOCKER_HOST at an engine that runs elsewhere.",
  ].join("\n");
}

function userName() {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in /etc/passwd.
    return String(process.getuid());
  }
}
