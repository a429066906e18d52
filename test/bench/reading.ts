import { createHash } from "node:crypto";
import type { Digest } from "../support/streams.ts";

/** What was read, and how fast. */
export interface Reading extends Digest {
  /** From the first byte to the last. */
  readonly mbPerSecond: number;
}

/** Reads to the end. A piece may be overwritten when the next one is asked for. */
export async function readAll(pieces: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<Reading> {
  const hash = createHash("sha256");
  let bytes = 0;
  let startedAt: number | null = null;
  for await (const piece of pieces) {
    startedAt ??= performance.now();
    hash.update(piece);
    bytes += piece.length;
  }
  const seconds = (performance.now() - (startedAt ?? performance.now())) / 1000;
  return { bytes, sha256: hash.digest("hex"), mbPerSecond: bytes / 1e6 / seconds };
}
