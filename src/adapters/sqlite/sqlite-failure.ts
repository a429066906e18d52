import { ExecutorError } from "../../model/failure.ts";

/**
 * What SQLite or the file system says of a task store's file, as our failure: which file, why, and what to do.
 * An error of neither is returned as it is: our bug.
 */
export function sqliteFailure(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof ExecutorError) return cause;
  const known = knownFailure(cause);
  if (known === null) return cause;
  return new ExecutorError("internal", `task store ${path}: ${known.why}`, { cause, hint: known.hint });
}

interface KnownFailure {
  readonly why: string;
  readonly hint: string;
}

const noSpace: KnownFailure = {
  why: "the disk is full",
  hint: "make room on the disk of the data folder, or set TOOL_EXECUTOR_DATA to another folder",
};
const notWritable: KnownFailure = {
  why: "it cannot be written",
  hint: "give this user write access to the data folder and the files in it, or set TOOL_EXECUTOR_DATA to another folder",
};
const notOpened: KnownFailure = {
  why: "it cannot be opened",
  hint: "the data folder must be a folder that this user may write; TOOL_EXECUTOR_DATA names another one",
};
const notOurs: KnownFailure = {
  why: "it is no task store of this program, or it is damaged",
  hint: "move the file away (a new one is made), or set TOOL_EXECUTOR_DATA to another folder",
};
const locked: KnownFailure = {
  why: "another process has kept it locked for too long",
  hint: "look for a stopped process that has the file open (fuser FILE), then try again",
};
const unreadable: KnownFailure = {
  why: "the disk failed while it was read or written",
  hint: "look at the kernel's log (dmesg) for the disk of the data folder",
};

/** By primary result code, https://www.sqlite.org/rescode.html. */
const bySqliteCode: ReadonlyMap<number, KnownFailure> = new Map([
  [5, locked],
  [6, locked],
  [8, notWritable],
  [10, unreadable],
  [11, notOurs],
  [13, noSpace],
  [14, notOpened],
  [26, notOurs],
]);

const byErrno: Readonly<Record<string, KnownFailure>> = {
  ENOSPC: noSpace,
  EDQUOT: noSpace,
  EACCES: notWritable,
  EPERM: notWritable,
  EROFS: notWritable,
  ENOTDIR: notOpened,
  EEXIST: notOpened,
  EISDIR: notOpened,
  EIO: unreadable,
};

/** SQLITE_IOERR_SHMSIZE: there was no room for the index of the write-ahead log. */
const shmSizeCode = 10 | (19 << 8);

function knownFailure(cause: Error & { readonly errcode?: unknown; readonly code?: unknown }): KnownFailure | null {
  if (typeof cause.errcode === "number") {
    if (cause.errcode === shmSizeCode) return noSpace;
    return bySqliteCode.get(cause.errcode & 0xff) ?? null;
  }
  return typeof cause.code === "string" ? (byErrno[cause.code] ?? null) : null;
}
