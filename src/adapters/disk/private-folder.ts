import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { ExecutorError } from "../../model/failure.ts";

/**
 * Makes sure of a folder that only its owner may write: made with mode 0700 where it is missing, checked where it is not.
 * `setting` names what the path came from, for the message.
 *
 * @throws ExecutorError validation, when the path is a link, no folder, another user's, writable by others or cannot be made.
 */
export function privateFolder(path: string, setting: string): void {
  try {
    // Not stat: whoever may put a link here may choose where our files go.
    const found = lstatSync(path, { throwIfNoEntry: false }) ?? made(path);
    const fault = faultOf(found.isDirectory(), found.uid, found.mode);
    if (fault === null) return;
    throw refusal(path, setting, fault);
  } catch (cause) {
    if (cause instanceof ExecutorError) throw cause;
    throw refusal(path, setting, `cannot be made (${codeOf(cause)})`, cause);
  }
}

function made(path: string): Stats {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return lstatSync(path);
}

/** The short name of a failed system call, such as `EACCES`. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown";
}

function faultOf(isFolder: boolean, uid: number, mode: number): string | null {
  const self = process.geteuid?.() ?? 0;
  if (!isFolder) return "is not a folder itself (a link or a file)";
  if (uid !== self) return `belongs to user ${uid}, we are ${self}`;
  if ((mode & 0o022) !== 0) return `can be written by others (mode 0${(mode & 0o777).toString(8)})`;
  return null;
}

function refusal(path: string, setting: string, fault: string, cause?: unknown): ExecutorError {
  return new ExecutorError("validation", `${setting}: ${path} ${fault}`, {
    cause,
    hint: "allowed is a folder of this user's that nobody else can write, or a path where one can be made",
  });
}
