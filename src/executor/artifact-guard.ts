import type { CollectEnd } from "../model/exit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Redaction } from "../secrets/redaction.ts";
import type { Redactor } from "../secrets/redactor.ts";
import type { SecretsInArtifacts } from "./parts.ts";
import type { TarEntry, TarSink } from "./tar-scan.ts";

/** What keeps a task's secrets out of its artifacts. */
export interface Guarding {
  readonly redaction: Redaction;
  readonly policy: SecretsInArtifacts;
}

export interface FoundSecret {
  readonly path: string;
  /** Its name. */
  readonly secret: string;
}

/** Stands between the scan of a tar and what hears of it, and decides what of the tar's bytes is kept. */
export interface ArtifactGuard extends TarSink {
  /** What of the chunk is kept, maybe after what came before; `scan` is given the chunk meanwhile. */
  kept(chunk: Buffer, scan: (chunk: Buffer) => void): readonly Buffer[];
  /** Behind the last chunk. */
  rest(): readonly Buffer[];
  /** The sandbox's own account, without secrets, with what was left out here. */
  end(end: CollectEnd): CollectEnd;
  flagged(): ReadonlyMap<string, readonly string[]>;
  refused(): FoundSecret | null;
}

/** What hears of the tar's entries. */
export interface GuardedSink extends TarSink {
  /** Whether a file is read on the way and is no artifact. */
  isUnlisted(entry: TarEntry): boolean;
}

/** Everything passes as it comes, uncopied. */
export const noGuard = (inner: TarSink): ArtifactGuard => ({
  entry: inner.entry,
  content: inner.content,
  done: inner.done,
  kept(chunk, scan) {
    scan(chunk);
    return [chunk];
  },
  rest: () => [],
  end: (end) => end,
  flagged: () => new Map(),
  refused: () => null,
});

/**
 * A file or folder with a secret in its name is left out. In a file's bytes a secret is dealt with by policy; where it is taken out, each of
 * its bytes becomes `*`, so that the sizes in the tar stay true. What is no artifact is not kept in the tar either.
 * @throws ExecutorError from the scan, once a file is found for which nothing may be kept; `refused` then says which.
 */
export function artifactGuard(inner: GuardedSink, { redaction, policy }: Guarding): ArtifactGuard {
  const flagged = new Map<string, readonly string[]>();
  const leftOut: string[] = [];
  let refused: FoundSecret | null = null;
  let out: Buffer[] = [];
  let current: OpenEntry = noEntry;
  let droppedBytes = 0;
  // Bytes between two contents: the padding of one, then the headers of the next.
  let between: Buffer[] = [];
  let [chunk, chunkAt, at]: [Buffer, number, number] = [empty, 0, 0];

  const keep = (bytes: Buffer, isKept: boolean): void => {
    if (isKept) out.push(bytes);
    else droppedBytes += bytes.length;
  };
  const upTo = (end: number): Buffer => {
    const bytes = Buffer.concat([...between, chunk.subarray(at - chunkAt, end - chunkAt)]);
    between = [];
    at = end;
    return bytes;
  };
  const found = (path: string, secret: string): void => {
    if (policy === "refuse") {
      refused = { path, secret };
      throw new ExecutorError("policy_denied", `/output/${path} holds the secret ${secret}`);
    }
    flagged.set(path, [...new Set([...(flagged.get(path) ?? []), secret])]);
  };

  const opened = (entry: TarEntry): OpenEntry => {
    const path = entry.path.toString("utf8");
    const paddingBytes = -entry.sizeBytes & (blockBytes - 1);
    if (holdsSecret(redaction, entry.path)) {
      leftOut.push(redaction.text(path));
      return { path, paddingBytes, isHeard: false, isStored: false, look: null };
    }
    const isStored = !inner.isUnlisted(entry);
    return { path, paddingBytes, isHeard: true, isStored, look: isStored ? "undecided" : null };
  };

  const lookInto = (path: string, first: Buffer): Look => {
    const told = (secret: string): void => found(path, secret);
    // As git does: what has a NUL at its beginning is no text.
    const isText = !first.subarray(0, sniffedBytes).includes(0);
    return policy === "redact" && isText
      ? { stream: redaction.sameLength(told), isReplaced: true }
      : { stream: redaction.finder(told), isReplaced: false };
  };

  const pass = (bytes: Buffer): void => {
    if (bytes.length === 0) return;
    if (current.isHeard) inner.content(bytes);
    keep(bytes, current.isStored);
  };

  return {
    entry(entry) {
      const before = upTo(entry.offset);
      const padding = before.subarray(0, current.paddingBytes);
      keep(padding, current.isStored);
      current = opened(entry);
      keep(before.subarray(padding.length), current.isStored);
      if (current.isHeard) inner.entry({ ...entry, offset: entry.offset - droppedBytes });
    },
    content(bytes) {
      at += bytes.length;
      const look = current.look === "undecided" ? lookInto(current.path, bytes) : current.look;
      current = { ...current, look };
      const looked = look === null ? bytes : look.stream.push(bytes);
      pass(look?.isReplaced ? looked : bytes);
    },
    done() {
      const { look } = current;
      if (look !== null && look !== "undecided") {
        const last = look.stream.flush();
        if (look.isReplaced) pass(last);
      }
      if (current.isHeard) inner.done();
    },
    kept(next, scan) {
      chunk = next;
      out = [];
      scan(next);
      between.push(Buffer.from(chunk.subarray(at - chunkAt)));
      chunkAt += chunk.length;
      at = chunkAt;
      return out;
    },
    rest() {
      chunk = empty;
      out = [];
      const before = upTo(at);
      const padding = before.subarray(0, current.paddingBytes);
      keep(padding, current.isStored);
      keep(before.subarray(padding.length), true);
      return out;
    },
    end: (end) => ({
      ...end,
      skipped: [
        ...end.skipped.map(({ path, why }) => ({ path: redaction.text(path), why })),
        ...leftOut.slice(0, maxNamed).map((path) => ({ path, why: "secret" })),
      ],
      skippedCount: end.skippedCount + leftOut.length,
    }),
    flagged: () => flagged,
    refused: () => refused,
  };
}

interface Look {
  readonly stream: Redactor;
  /** What comes out of the stream takes the place of what goes in. */
  readonly isReplaced: boolean;
}

interface OpenEntry {
  readonly path: string;
  readonly paddingBytes: number;
  readonly isHeard: boolean;
  readonly isStored: boolean;
  /** Null: its bytes are not looked at. */
  readonly look: Look | "undecided" | null;
}

function holdsSecret(redaction: Redaction, name: Buffer): boolean {
  let isFound = false;
  const stream = redaction.finder(() => {
    isFound = true;
  });
  stream.push(name);
  stream.flush();
  return isFound;
}

const noEntry: OpenEntry = { path: "", paddingBytes: 0, isHeard: false, isStored: true, look: null };
const empty = Buffer.alloc(0);
const blockBytes = 512;
const sniffedBytes = 8000;
/** The sandbox names no more either. */
const maxNamed = 200;
