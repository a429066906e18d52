import { createHash } from "node:crypto";
import mime from "mime";
import type { CollectEnd } from "../model/exit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { CollectCaps, Sandbox, SandboxEvent } from "../ports/sandbox.ts";
import { type TarEntry, tarScan } from "./tar-scan.ts";
import { utf8 } from "./utf8.ts";

/** One line of the manifest beside the tar. */
export interface ManifestEntry {
  /** As text; a name that is no UTF-8 has its bytes in `path_base64` too. */
  readonly path: string;
  readonly path_base64?: string;
  readonly size_bytes: number;
  readonly sha256: string;
  readonly mime: string;
  /** Where the content starts in `artifacts.tar`. */
  readonly offset: number;
}

/** What an attempt left under `/output`. */
export interface Collected {
  readonly entries: readonly ManifestEntry[];
  readonly artifactsKey: string | null;
  /** The bytes of `/output/result.json`; null when there is none. Cut at the cap plus one byte. */
  readonly resultJson: Buffer | null;
  /** Null when the sandbox went away in the middle: nothing is kept then. */
  readonly end: CollectEnd | null;
}

/** The tar and the manifest under an attempt's prefix. */
export const artifactsKey = (prefix: string): string => `${prefix}/artifacts.tar`;
export const manifestKey = (prefix: string): string => `${prefix}/manifest.json`;

/**
 * Brings `/output` into the object store as one tar with its manifest; memory stays bounded whatever the size. Nothing
 * is stored for an empty `/output`.
 * @throws ExecutorError internal when the store fails, sandbox when what comes is no plain tar; nothing half-stored is left.
 */
export async function collect(
  sandbox: Sandbox,
  caps: CollectCaps & { readonly maxResultJsonBytes: number },
  objects: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): Promise<Collected> {
  const manifest = manifestSink(caps.maxResultJsonBytes);
  const scan = tarScan(manifest);
  let end: CollectEnd | null = null;
  let endSeq = 0;
  sandbox.collect(caps);

  async function* tarBytes(): AsyncGenerator<Buffer> {
    for await (const batch of heard(sandbox)) {
      for (const event of batch) {
        if (event.kind === "artifacts") {
          scan.push(event.bytes);
          yield event.bytes;
          sandbox.ack(event.seq);
        } else if (event.kind === "end") {
          scan.finish();
          end = event.end;
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
      if (next.done) {
        sandbox.ack(endSeq);
        return { entries: [], artifactsKey: null, resultJson: null, end };
      }
      // Copied: the bytes are good for this turn only.
      first.push(Buffer.from(next.value));
      if (manifest.seen()) break;
    }
    const key = artifactsKey(prefix);
    await objects.put(key, chain(first, bytes), signal);
    const entries = manifest.entries();
    const body = Buffer.from(JSON.stringify({ entries, end: end && endOnWire(end) }));
    await objects.put(manifestKey(prefix), chain([body], none()), signal);
    // Only now: what is acknowledged the sandbox forgets, and once all is, it ends.
    sandbox.ack(endSeq);
    return { entries, artifactsKey: key, resultJson: manifest.resultJson(), end };
  } catch (error) {
    if (error instanceof SandboxLeft || (error instanceof Error && error.cause instanceof SandboxLeft))
      return { entries: [], artifactsKey: null, resultJson: null, end: null };
    throw error;
  }
}

/** Silence for so long and the sandbox is taken for stuck: reading one file's next piece takes milliseconds. */
const silenceMs = 30_000;

/** What the sandbox says; one that falls silent is ended. The time a slow object store takes is not counted. */
async function* heard(sandbox: Sandbox): AsyncGenerator<readonly SandboxEvent[]> {
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

/** The end of a collection as the manifest has it. */
const endOnWire = ({ entries, bytes, skipped, skippedCount, limit }: CollectEnd) => ({
  entries,
  bytes,
  skipped,
  skipped_count: skippedCount,
  limit,
});

async function* chain(first: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* first;
  yield* rest;
}

async function* none(): AsyncGenerator<Buffer> {}

function manifestSink(maxResultJsonBytes: number) {
  const entries: ManifestEntry[] = [];
  let current: TarEntry | null = null;
  let hash = createHash("sha256");
  let resultJson: Buffer[] | null = null;
  let resultBytes = 0;
  let seen = false;
  const isResult = (): boolean => current?.path.toString("latin1") === "result.json";
  return {
    seen: () => seen,
    entries: () => entries,
    resultJson: () => (resultJson ? Buffer.concat(resultJson) : null),
    entry(entry: TarEntry) {
      seen = true;
      current = entry;
      if (entry.kind === "directory") return;
      hash = createHash("sha256");
      if (isResult()) resultJson = [];
    },
    content(bytes: Buffer) {
      hash.update(bytes);
      if (!isResult()) return;
      const room = maxResultJsonBytes + 1 - resultBytes;
      if (room > 0) resultJson?.push(Buffer.from(bytes.subarray(0, room)));
      resultBytes += bytes.length;
    },
    done() {
      if (current?.kind !== "file") return;
      const { path, sizeBytes, offset } = current;
      const text = utf8(path);
      const shown = text ?? path.toString("utf8");
      entries.push({
        path: shown,
        ...(text === null ? { path_base64: path.toString("base64") } : {}),
        size_bytes: sizeBytes,
        sha256: hash.digest("hex"),
        mime: mime.getType(shown) ?? "application/octet-stream",
        offset,
      });
    },
  };
}
