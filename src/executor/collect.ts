import { createHash } from "node:crypto";
import mime from "mime";
import type { CollectEnd } from "../model/exit.ts";
import { ExecutorError } from "../model/failure.ts";
import { artifactsKey, type ManifestEntry, type ManifestName, manifestKey } from "../model/manifest.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { CollectCaps, Sandbox, SandboxEvent } from "../ports/sandbox.ts";
import { encodeManifest } from "../schema/manifest.ts";
import { artifactGuard, type FoundSecret, type Guarding, noGuard } from "./artifact-guard.ts";
import { type TarEntry, tarScan } from "./tar-scan.ts";
import { utf8 } from "./utf8.ts";

/** What an attempt left under `/output`. */
export interface Collected {
  readonly entries: readonly ManifestEntry[];
  readonly artifactsKey: string | null;
  /** The bytes of those files that were asked for and are there, by path. Cut at the cap plus one byte. */
  readonly small: ReadonlyMap<string, Buffer>;
  /** Null when the sandbox went away in the middle: nothing is kept then. */
  readonly end: CollectEnd | null;
  /** Where secrets stand in what is kept, or were taken out of it: of a path in `entries`, their names. */
  readonly flagged: ReadonlyMap<string, readonly string[]>;
  /** The file for whose secret nothing is kept; null: there is none. */
  readonly refused: FoundSecret | null;
  /** Of the sandbox's last word, not acknowledged yet: with that the sandbox ends. Null when it did not come. */
  readonly endSeq: number | null;
}

/** How a collection begins. */
export interface Asking {
  /** By the executor that had the attempt before; then all of it comes again. */
  readonly isAsked: boolean;
  /** What of it came already. */
  readonly rest: readonly SandboxEvent[];
  /** Hears by what number the sandbox is asked, before it is. */
  readonly onNumber: (seq: number) => void;
}

/** So much of what comes is not acknowledged: a successor finds all of a collection that small. A quarter of what a sandbox keeps. */
const unacknowledgedBytes = 1024 * 1024;

/** Files to be read on the way. */
export interface SmallFiles {
  /** Path below `/output` → the most bytes that are of use. */
  readonly maxBytes: ReadonlyMap<string, number>;
  /** One of them that is no artifact while it is not over its bytes; null: none. */
  readonly unlisted: string | null;
}

/**
 * Brings `/output` into the object store as one tar with its manifest; memory stays bounded whatever the size. Nothing
 * is stored when `/output` holds nothing to be listed. The sandbox ends when the caller acknowledges `endSeq`: until then a successor may
 * do all of it again, where it is not much.
 * @throws ExecutorError internal when the store fails, sandbox when what comes is no plain tar; nothing half-stored is left.
 */
export async function collect(
  sandbox: Sandbox,
  asking: Asking,
  caps: CollectCaps,
  smallFiles: SmallFiles,
  objects: ObjectStore,
  prefix: string,
  guarding: Guarding | null,
  signal: AbortSignal,
): Promise<Collected> {
  const manifest = manifestSink(smallFiles);
  const guard = guarding === null ? noGuard(manifest) : artifactGuard(manifest, guarding);
  const scan = tarScan(guard, caps);
  let end: CollectEnd | null = null;
  let endSeq: number | null = null;
  let heldBytes = 0;
  if (!asking.isAsked) sandbox.collect(caps, asking.onNumber);

  async function* tarBytes(): AsyncGenerator<Buffer> {
    for await (const batch of heard(sandbox, asking.rest)) {
      for (const event of batch) {
        if (event.kind === "artifacts") {
          yield* guard.kept(event.bytes, scan.push);
          heldBytes += event.bytes.length;
          if (heldBytes > unacknowledgedBytes) sandbox.ack(event.seq);
        } else if (event.kind === "end") {
          scan.finish();
          yield* guard.rest();
          end = guard.end(event.end);
          endSeq = event.seq;
          return;
        } else if (event.kind === "gone") {
          throw new SandboxLeft();
        }
      }
      signal.throwIfAborted();
    }
    throw new SandboxLeft();
  }

  const bytes = tarBytes();
  try {
    // Nothing is stored before there is something to keep.
    const first: Buffer[] = [];
    for (let next = await bytes.next(); ; next = await bytes.next()) {
      if (next.done) return { ...noFiles, small: manifest.small(), end, endSeq };
      // Copied: the bytes are good for this turn only.
      first.push(Buffer.from(next.value));
      if (manifest.seen()) break;
    }
    const key = artifactsKey(prefix);
    await objects.put(key, chain(first, bytes), signal);
    const entries = manifest.entries();
    const body = encodeManifest({ entries, folders: manifest.folders() }, end);
    await objects.put(manifestKey(prefix), chain([body], none()), signal);
    return { ...noFiles, entries, artifactsKey: key, small: manifest.small(), end, flagged: guard.flagged(), endSeq };
  } catch (error) {
    const refused = guard.refused();
    if (refused !== null) return { ...noFiles, refused };
    if (error instanceof SandboxLeft || (error instanceof Error && error.cause instanceof SandboxLeft)) return noFiles;
    throw error;
  }
}

export const noFiles: Collected = {
  entries: [],
  artifactsKey: null,
  small: new Map(),
  end: null,
  flagged: new Map(),
  refused: null,
  endSeq: null,
};

/** Silence for so long and the sandbox is taken for stuck: reading one file's next piece takes milliseconds. */
const silenceMs = 30_000;

/** What the sandbox says; one that falls silent is ended. The time a slow object store takes is not counted. */
async function* heard(sandbox: Sandbox, rest: readonly SandboxEvent[]): AsyncGenerator<readonly SandboxEvent[]> {
  if (rest.length > 0) yield rest;
  // A kill that fails is followed by `gone` too.
  const end = (): void => void sandbox.kill(new AbortController().signal).catch(() => undefined);
  let timer = setTimeout(end, silenceMs);
  try {
    for await (const batch of sandbox.events()) {
      clearTimeout(timer);
      yield batch;
      timer = setTimeout(end, silenceMs);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The sandbox ended in the middle of the collection: no fault of the object store's. */
class SandboxLeft extends ExecutorError {
  constructor() {
    super("sandbox", "the sandbox ended before all of /output was collected");
  }
}

async function* chain(first: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* first;
  yield* rest;
}

async function* none(): AsyncGenerator<Buffer> {}

function manifestSink({ maxBytes, unlisted }: SmallFiles) {
  const entries: ManifestEntry[] = [];
  const folders: ManifestName[] = [];
  const small = new Map<string, Buffer>();
  let current: TarEntry | null = null;
  let hash = createHash("sha256");
  let pieces: Buffer[] = [];
  let roomBytes = 0;
  let seen = false;
  const isUnlisted = ({ kind, path, sizeBytes }: TarEntry): boolean => {
    const name = path.toString("latin1");
    return kind === "file" && name === unlisted && sizeBytes <= (maxBytes.get(name) ?? 0);
  };
  return {
    isUnlisted,
    /** Whether anything came that is kept. */
    seen: () => seen,
    entries: () => entries,
    folders: () => folders,
    small: () => small,
    entry(entry: TarEntry) {
      if (!isUnlisted(entry)) seen = true;
      current = entry;
      if (entry.kind === "directory") {
        folders.push(nameOf(entry.path));
        return;
      }
      hash = createHash("sha256");
      pieces = [];
      const most = maxBytes.get(entry.path.toString("latin1"));
      roomBytes = most === undefined ? 0 : most + 1;
    },
    content(bytes: Buffer) {
      hash.update(bytes);
      if (roomBytes <= 0) return;
      pieces.push(Buffer.from(bytes.subarray(0, roomBytes)));
      roomBytes -= bytes.length;
    },
    done() {
      if (current?.kind !== "file") return;
      const { path, sizeBytes, offset } = current;
      const name = path.toString("latin1");
      if (maxBytes.has(name)) small.set(name, Buffer.concat(pieces));
      if (isUnlisted(current)) return;
      const shown = nameOf(path);
      entries.push({
        ...shown,
        size_bytes: sizeBytes,
        sha256: hash.digest("hex"),
        mime: mime.getType(shown.path) ?? "application/octet-stream",
        offset,
      });
    },
  };
}

function nameOf(path: Buffer): ManifestName {
  const text = utf8(path);
  return text === null ? { path: path.toString("utf8"), path_base64: path.toString("base64") } : { path: text };
}
