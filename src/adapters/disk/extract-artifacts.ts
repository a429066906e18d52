import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { ExecutorError } from "../../model/failure.ts";
import type { Manifest, ManifestEntry, ManifestName } from "../../model/manifest.ts";
import { codeOf } from "./private-folder.ts";

/** The tar's bytes from `start` to `end` (exclusive); a chunk is good until the next is asked for. */
export type ReadTar = (start: number, end: number) => Promise<AsyncIterable<Uint8Array>>;

/**
 * Puts the files of a manifest below `folder` (made if missing), all of them or the `wanted`; answers how many. Folders come too unless
 * only some files are wanted. The tar is read where the manifest says a file's content is, and nowhere believed: a file whose length or
 * sha256 is not the manifest's is not there afterwards. Modes are 0644 or what the umask leaves of it. Nothing is ever written outside: names are checked,
 * links neither made nor followed.
 * @throws ExecutorError validation, for a name that leaves the folder or a place that cannot be written; internal, for a damaged tar.
 */
export async function extractArtifacts(
  manifest: Manifest,
  tar: ReadTar,
  folder: string,
  wanted: ReadonlySet<string> | null,
  withFolders: boolean = wanted === null,
): Promise<number> {
  const root = Buffer.from(folder);
  const there = new Set(manifest.entries.map(({ path }) => path));
  for (const path of wanted ?? []) if (!there.has(path)) throw damaged({ path }, "the manifest does not name it");
  let count = 0;
  try {
    if (withFolders) for (const name of manifest.folders) await plainFolder(root, segmentsOf(name));
    for (const run of runsOf(manifest.entries, wanted)) {
      const [first, last] = [run[0], run.at(-1)];
      if (first === undefined || last === undefined) continue;
      await using bytes = byCount(await tar(first.offset, last.offset + last.size_bytes));
      let at = first.offset;
      for (const entry of run) {
        if (entry.offset < at) throw damaged(entry, "two files stand in one place of the tar");
        for await (const _between of bytes.next(entry.offset - at));
        await writeFile(root, entry, bytes.next(entry.size_bytes));
        at = entry.offset + entry.size_bytes;
        count += 1;
      }
    }
  } catch (cause) {
    throw cause instanceof ExecutorError ? cause : unwritable(folder, cause);
  }
  return count;
}

/** What is wanted, cut where something that is not wanted stands between: each is read in one go. */
function* runsOf(
  entries: readonly ManifestEntry[],
  wanted: ReadonlySet<string> | null,
): Generator<readonly ManifestEntry[]> {
  let run: ManifestEntry[] = [];
  for (const entry of entries) {
    if (wanted === null || wanted.has(entry.path)) run.push(entry);
    else if (run.length > 0) {
      yield run;
      run = [];
    }
  }
  yield run;
}

/** A stream that is read by count; whatever it holds is let go of by dispose. */
function byCount(stream: AsyncIterable<Uint8Array>) {
  const chunks = stream[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();
  return {
    /** The next so many bytes; fewer when the stream ends. */
    async *next(count: number): AsyncGenerator<Uint8Array> {
      for (let left = count; left > 0; ) {
        if (rest.length === 0) {
          const chunk = await chunks.next();
          if (chunk.done === true) return;
          rest = chunk.value;
        }
        const piece = rest.subarray(0, left);
        rest = rest.subarray(piece.length);
        left -= piece.length;
        yield piece;
      }
    },
    async [Symbol.asyncDispose]() {
      await chunks.return?.();
    },
  };
}

const slash = Buffer.from("/");

/** A name's exact bytes, cut at its slashes. */
function segmentsOf({ path, path_base64 }: ManifestName): readonly Buffer[] {
  const bytes = path_base64 === undefined ? Buffer.from(path) : Buffer.from(path_base64, "base64");
  const segments = bytes.toString("latin1").split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === ".." || segment.includes("\0")))
    throw new ExecutorError("validation", `artifacts: ${JSON.stringify(path)} is not a plain relative name`);
  return segments.map((segment) => Buffer.from(segment, "latin1"));
}

/** The folder of these segments, made step by step: each must be a real folder, never a link. */
async function plainFolder(root: Buffer, segments: readonly Buffer[]): Promise<Buffer> {
  await mkdir(root, { recursive: true });
  let path = root;
  for (const segment of segments) {
    path = Buffer.concat([path, slash, segment]);
    await mkdir(path).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
    const found = await lstat(path);
    if (!found.isDirectory()) throw new ExecutorError("validation", `artifacts: ${path} is there and is no folder`);
  }
  return path;
}

async function writeFile(root: Buffer, entry: ManifestEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
  const segments = segmentsOf(entry);
  const folder = await plainFolder(root, segments.slice(0, -1));
  const beside = (name: Uint8Array): Buffer => Buffer.concat([folder, slash, name]);
  // Written beside the target and renamed: a rename replaces a link instead of following it.
  const part = beside(Buffer.from(`.toolx-${process.pid}-${Math.random().toString(36).slice(2)}.part`));
  const file = await open(
    part,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o644,
  );
  try {
    const { sizeBytes, sha256 } = await written(file, content);
    if (sizeBytes !== entry.size_bytes) throw damaged(entry, `${sizeBytes} of its ${entry.size_bytes} bytes are there`);
    if (sha256 !== entry.sha256) throw damaged(entry, `its sha256 is ${sha256}, not ${entry.sha256}`);
    await file.close();
    await rename(part, beside(segments.at(-1) ?? slash));
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw error;
  }
}

async function written(file: FileHandle, content: AsyncIterable<Uint8Array>) {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
    sizeBytes += chunk.length;
  }
  return { sizeBytes, sha256: hash.digest("hex") };
}

const damaged = ({ path }: ManifestName, what: string): ExecutorError =>
  new ExecutorError("internal", `artifacts: ${JSON.stringify(path)} is damaged in the object store: ${what}`);

const unwritable = (folder: string, cause: unknown): ExecutorError =>
  new ExecutorError("validation", `artifacts: ${folder} cannot be written (${codeOf(cause)})`, {
    cause,
    hint: "choose another folder with --out",
  });
