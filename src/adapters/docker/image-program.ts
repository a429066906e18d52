import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";

// process.env is the configuration's to read, and apt and mmdebstrap live nowhere else.
const programFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const lastLineCount = 20;

/** The path of a system program, or `null` where it is not installed. */
export async function findProgram(name: string): Promise<string | null> {
  for (const folder of programFolders) {
    const path = join(folder, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return null;
}

/**
 * Runs a system program to its end; what it prints is kept only for the error. An abort sends it SIGTERM.
 * @throws ExecutorError image, with the last lines it printed, when it cannot be started or does not exit with 0.
 */
export async function runProgram(name: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const child = spawn(name, [...args], { stdio: ["ignore", "pipe", "pipe"] });
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  let printed = "";
  const keep = (bytes: Buffer): void => {
    printed = (printed + bytes.toString("utf8")).slice(-64 * 1024);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  try {
    const ended = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, killedBy) => resolve(killedBy ?? String(code)));
    });
    signal.throwIfAborted();
    if (ended !== "0") throw new Error(`it ended with ${ended}\n${lastLines(printed, lastLineCount)}`);
  } catch (cause) {
    signal.throwIfAborted();
    throw new ExecutorError("image", `${name} failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** The end of a text, at most `count` lines of it. */
export function lastLines(text: string, count: number): string {
  return text.trimEnd().split("\n").slice(-count).join("\n");
}
