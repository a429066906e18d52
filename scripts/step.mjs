// Telling what is done and running programs, with nothing but Node: this runs before any package is installed.
import { spawn } from "node:child_process";
import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the checkout. */
export const checkout = fileURLToPath(new URL("..", import.meta.url));

/** What stops a set-up: `message` is for the person at the terminal, who needs no stack. */
export class SetupError extends Error {}

const startedAt = Date.now();

/** One line on standard error, with the seconds since the start. */
export function tell(message) {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0).padStart(4);
  process.stderr.write(`setup ${seconds} s  ${message}\n`);
}

/**
 * Runs a program to its end with our own standard streams, its standard output on our standard error.
 * Throws a SetupError, saying `what` failed, unless it exits with 0.
 */
export async function run(what, program, args, env = {}) {
  const code = await exitCode(program, args, { env, stdout: 2 });
  if (code !== 0) throw new SetupError(`${what} failed: ${[program, ...args].join(" ")} ended with ${code}`);
}

/** The same, for a program that says too much: what it prints is shown only when it fails, and then the end of it. */
export async function runQuietly(what, program, args, env = {}) {
  const child = spawn(program, args, {
    cwd: checkout,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  const keep = (bytes) => {
    printed = (printed + bytes.toString("utf8")).slice(-64 * 1024);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const code = await new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (exit, signal) => resolve(signal ?? exit));
  });
  if (code === 0) return;
  throw new SetupError(`${what} failed: ${[program, ...args].join(" ")} ended with ${code}\n${endOf(printed)}`);
}

/** The last lines of a text. */
export function endOf(text) {
  return text.trimEnd().split("\n").slice(-20).join("\n");
}

const running = new Set();

/** Asks what {@link exitCode} runs to end: a signal to this process alone does not reach it, as a terminal's Ctrl-C does. */
export function endWhatRuns() {
  for (const child of running) child.kill("SIGTERM");
}

/**
 * The exit code of a program that has our own streams; 127 when it cannot be started, 128 when a signal ended it. After `boundMs` it is
 * killed with everything it has started.
 */
export async function exitCode(program, args, { env = {}, stdout = 1, cwd = checkout, boundMs = 0 } = {}) {
  return await new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["inherit", stdout, 2],
    });
    running.add(child);
    if (boundMs > 0) {
      const bound = setTimeout(() => {
        tell(`${program} has run for ${Math.round(boundMs / 60_000)} minutes and is ended`);
        void killWithChildren(child);
      }, boundMs);
      child.once("close", () => clearTimeout(bound));
    }
    child.once("error", () => resolve(127));
    child.once("close", (code) => resolve(code ?? 128));
    child.once("close", () => running.delete(child));
  });
}

/** Children whose parent is asked to end may live on, and one that hangs does. */
async function killWithChildren(child) {
  const parents = new Map();
  for (const pid of (await readdir("/proc").catch(() => [])).filter(Number)) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    // Behind the name, which may hold anything: state and parent.
    parents.set(Number(pid), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const family = [child.pid];
  for (const pid of family) for (const [one, parent] of parents) if (parent === pid) family.push(one);
  for (const pid of family.slice(1)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  child.kill("SIGKILL");
}

/** What a program prints, or `null` when it fails. Its standard error is ours where `isHeard`, otherwise nobody's. */
export async function output(program, args, isHeard = false) {
  return await new Promise((resolve) => {
    const child = spawn(program, args, { cwd: checkout, stdio: ["ignore", "pipe", isHeard ? 2 : "ignore"] });
    const chunks = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.once("error", () => resolve(null));
    child.once("close", (code) => resolve(code === 0 ? Buffer.concat(chunks).toString("utf8") : null));
  });
}

/** The path of an installed program, or `null`. */
export async function findProgram(name) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  for (const folder of folders) {
    const path = join(folder || ".", name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return null;
}

/** Runs `main` as a program: a SetupError is one message, anything else a bug with its stack. */
export async function asProgram(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`setup: ${error.message}\n`);
    process.exitCode = 1;
  }
}
