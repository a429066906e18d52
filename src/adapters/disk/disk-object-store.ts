import { randomUUID } from "node:crypto";
import type { Dirent } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { objectKeySegments } from "../../model/object-key.ts";
import type { ObjectStore, Old, StoredObject } from "../../ports/object-store.ts";

/**
 * Objects as files below `root` (0700, made at the first write), a key's segments being its folders. A body is written beside its place
 * under a name no key can have, and takes the place once it is on disk; what a killed process left there goes with `remove`.
 */
export function diskObjectStore(root: string): ObjectStore {
  return {
    put: (key, body, signal) => translated(root, "write", key, () => put(root, key, body, signal)),
    get: (key, signal, range) => translated(root, "read", key, () => get(root, key, signal, range)),
    list: (prefix, signal) => translated(root, "list", prefix, () => list(root, prefix, signal)),
    remove: (prefix, signal) =>
      translated(root, "remove", prefix, async () => {
        signal.throwIfAborted();
        await rm(pathOf(root, prefix), { recursive: true, force: true });
      }),
    removeKeys: (keys, signal) =>
      translated(root, "remove", keys[0] ?? "nothing", async () => {
        const paths = keys.map((key) => pathOf(root, key));
        for (const path of paths) {
          signal.throwIfAborted();
          await removeFile(root, path);
        }
      }),
    expire: (prefix, old, signal) =>
      translated(root, "remove", prefix, () => {
        // Checked before it is looked at.
        pathOf(root, prefix);
        return expire(root, prefix, old, signal);
      }),
    sweep: (olderThanMs, signal) => translated(root, "sweep", "drafts", () => sweep(root, olderThanMs, signal)),
    async [Symbol.asyncDispose]() {},
  };
}

async function put(
  root: string,
  key: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<StoredObject> {
  signal.throwIfAborted();
  const path = pathOf(root, key);
  const folder = dirname(path);
  await makeFolder(folder);
  const draft = join(folder, `${draftPrefix}${randomUUID()}`);
  let sizeBytes = 0;
  try {
    await using file = await open(draft, "wx", 0o600);
    for await (const chunk of body) {
      signal.throwIfAborted();
      await writeAll(file, chunk);
      sizeBytes += chunk.byteLength;
    }
    signal.throwIfAborted();
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(folder);
  return { key, sizeBytes };
}

async function get(
  root: string,
  key: string,
  signal: AbortSignal,
  range: { readonly start: number; readonly end: number } | undefined,
): Promise<AsyncIterable<Uint8Array> | null> {
  signal.throwIfAborted();
  const path = pathOf(root, key);
  return (await sizeIfThere(path)) === null ? null : read(root, key, path, signal, range);
}

/** Opened at the first step, so that an object nobody reads holds no file. One buffer serves all chunks: new ones would wait for a collection, many MiB of them. */
async function* read(
  root: string,
  key: string,
  path: string,
  signal: AbortSignal,
  range: { readonly start: number; readonly end: number } | undefined,
): AsyncGenerator<Uint8Array> {
  await using file = await translated(root, "read", key, () => open(path, "r"));
  const end = range?.end ?? Number.MAX_SAFE_INTEGER;
  let at = range?.start ?? 0;
  const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, Math.max(0, end - at)));
  while (at < end) {
    signal.throwIfAborted();
    const length = Math.min(buffer.byteLength, end - at);
    const { bytesRead } = await translated(root, "read", key, () => file.read(buffer, 0, length, at));
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

const pieceBytes = 256 * 1024;

async function list(root: string, prefix: string, signal: AbortSignal): Promise<readonly StoredObject[]> {
  const found: StoredObject[] = [];
  const visit = async (key: string): Promise<void> => {
    signal.throwIfAborted();
    const entries = await entriesIfThere(pathOf(root, key));
    if (entries === null) {
      const sizeBytes = await sizeIfThere(pathOf(root, key));
      if (sizeBytes !== null) found.push({ key, sizeBytes });
      return;
    }
    for (const entry of entries) if (!entry.name.startsWith(draftPrefix)) await visit(`${key}/${entry.name}`);
  };
  await visit(prefix);
  return found.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
}

async function sweep(folder: string, olderThanMs: number, signal: AbortSignal): Promise<number> {
  let swept = 0;
  for (const entry of (await entriesIfThere(folder)) ?? []) {
    signal.throwIfAborted();
    const path = join(folder, entry.name);
    if (entry.isDirectory()) swept += await sweep(path, olderThanMs, signal);
    if (!entry.isFile() || !entry.name.startsWith(draftPrefix)) continue;
    // By its last write: a draft that still grows is somebody's.
    const found = await stat(path).catch(nullIfMissing);
    if (found === null || Date.now() - found.mtimeMs < olderThanMs) continue;
    await rm(path, { force: true });
    swept += 1;
  }
  return swept;
}

async function expire(root: string, key: string, old: Old, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const path = join(root, key);
  const entries = await entriesIfThere(path);
  if (entries === null) {
    const found = await stat(path).catch(nullIfMissing);
    if (old.limit < 1 || !found?.isFile() || found.mtimeMs >= old.putBefore || old.isSpared?.(key)) return 0;
    await removeFile(root, path);
    return 1;
  }
  let removed = 0;
  for (const { name } of entries) {
    if (removed >= old.limit) break;
    if (name.startsWith(draftPrefix)) continue;
    removed += await expire(root, `${key}/${name}`, { ...old, limit: old.limit - removed }, signal);
  }
  return removed;
}

/** And the folders that are empty then: whoever puts something makes them again. */
async function removeFile(root: string, path: string): Promise<void> {
  await rm(path, { force: true });
  for (let folder = dirname(path); folder !== root; folder = dirname(folder)) {
    try {
      await rmdir(folder);
    } catch {
      // Something is in it, or it has gone already.
      return;
    }
  }
}

/** A key's segment never begins with a dot, so no object has such a name. */
const draftPrefix = ".draft-";

const pathOf = (root: string, key: string): string => join(root, ...objectKeySegments(key));

/** Every folder on the way, each name on disk before something is put in it. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.byteLength) written += (await file.write(chunk, written)).bytesWritten;
}

async function sizeIfThere(path: string): Promise<number | null> {
  const found = await stat(path).catch(nullIfMissing);
  return found?.isFile() ? found.size : null;
}

const entriesIfThere = (path: string): Promise<readonly Dirent[] | null> =>
  readdir(path, { withFileTypes: true }).catch(nullIfMissing);

function nullIfMissing(error: unknown): null {
  const code = codeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") return null;
  throw error;
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "this user may not",
  EPERM: "this user may not",
  EROFS: "the file system is read-only",
  EIO: "the disk failed",
  ENOENT: "it has just been removed",
  ENOTDIR: "there is a file where a folder should be",
  EISDIR: "there is a folder where a file should be",
  ENOTEMPTY: "there is a folder where a file should be",
};

/** The file system's own failures, as ours; everything else (an abort, a body that threw) as it is. */
async function translated<T>(root: string, verb: string, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const reason = reasons[String(codeOf(cause))];
    if (reason === undefined) throw cause;
    throw new ExecutorError("internal", `${verb} ${key} in the object store ${root}: ${reason}`, {
      cause,
      hint: "make room for, or give this user write access to, the data folder; TOOL_EXECUTOR_DATA names another one",
    });
  }
}
