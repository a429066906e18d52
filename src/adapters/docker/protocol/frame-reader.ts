import { crc32 } from "node:zlib";
import {
  type Frame,
  frameMark,
  headerBytes,
  magicLine,
  maxBodyBytes,
  noToken,
  readSafe64,
  trailerBytes,
} from "./frame.ts";

/** Why a stream can no longer be read; only a new attach mends it. */
export type BrokenStream = "mark" | "length" | "checksum" | "gap";

export interface FrameReader {
  /**
   * The whole frames that `chunk` completes, in order, numbered ones seen before left out. Their bodies may be views of
   * `chunk`. Bytes before the magic line are dropped; after a broken frame everything is.
   */
  push(chunk: Buffer): readonly Frame[];
  /** What broke the stream, or null. */
  broken(): BrokenStream | null;
  /** The last numbered frame delivered. */
  lastSeq(): number;
}

/** Reads what the sandbox writes after the magic line with `nonce`; numbered frames up to `lastSeq` are known already. */
export function frameReader(nonce: string, lastSeq: number): FrameReader {
  const line = magicLine(noToken, nonce);
  let synced = false;
  let broken: BrokenStream | null = null;
  let last = lastSeq;
  // What came and makes no whole frame yet: pieces are joined once, when the frame is complete.
  let pieces: Buffer[] = [];
  let held = 0;
  let needed = headerBytes;

  const join = (): Buffer => {
    const whole = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, held);
    pieces = [];
    held = 0;
    return whole ?? Buffer.alloc(0);
  };

  const seek = (chunk: Buffer): Buffer | null => {
    pieces.push(chunk);
    held += chunk.length;
    const seen = join();
    const at = seen.indexOf(line);
    if (at >= 0) {
      synced = true;
      return seen.subarray(at + line.length);
    }
    const kept = seen.subarray(Math.max(0, seen.length - line.length + 1));
    pieces = [kept];
    held = kept.length;
    return null;
  };

  const accept = (frame: Frame, frames: Frame[]): void => {
    if (frame.seq === 0) {
      frames.push(frame);
      return;
    }
    if (frame.seq <= last) return;
    if (frame.seq !== last + 1) {
      broken = "gap";
      return;
    }
    last = frame.seq;
    frames.push(frame);
  };

  return {
    broken: () => broken,
    lastSeq: () => last,
    push(chunk) {
      if (broken) return [];
      let rest: Buffer | null = synced ? chunk : seek(chunk);
      const frames: Frame[] = [];
      if (rest === null) return frames;
      if (held > 0) {
        pieces.push(rest);
        held += rest.length;
        if (held < needed) return frames;
        rest = join();
      }
      while (!broken && rest.length >= headerBytes) {
        const header = readHeader(rest);
        if (typeof header === "string") {
          broken = header;
          break;
        }
        const total = headerBytes + header.length + trailerBytes;
        if (rest.length < total) {
          needed = total;
          break;
        }
        const sumAt = headerBytes + header.length;
        if (crc32(rest.subarray(0, sumAt)) !== rest.readUInt32BE(sumAt)) {
          broken = "checksum";
          break;
        }
        accept({ ...header.frame, body: rest.subarray(headerBytes, sumAt) }, frames);
        rest = rest.subarray(total);
        needed = headerBytes;
      }
      if (!broken && rest.length > 0) {
        pieces = [rest];
        held = rest.length;
        if (rest.length < headerBytes) needed = headerBytes;
      }
      return frames;
    },
  };
}

function readHeader(bytes: Buffer): BrokenStream | { readonly length: number; readonly frame: Omit<Frame, "body"> } {
  if (bytes[0] !== frameMark) return "mark";
  const length = bytes.readUInt32BE(4);
  if (length > maxBodyBytes) return "length";
  const seq = readSafe64(bytes, 8);
  const timeUs = readSafe64(bytes, 16);
  if (seq === null || timeUs === null) return "gap";
  return { length, frame: { type: bytes[1] ?? 0, channel: bytes.readUInt16BE(2), seq, timeUs } };
}
