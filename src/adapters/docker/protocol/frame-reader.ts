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

/** What one piece of the stream brought. */
export interface Taken {
  /** Whole frames in order, numbered ones seen before left out. Bodies of numbered ones are good until the {@link FrameReader.swap} after next. */
  readonly frames: readonly Frame[];
  /** How much of the piece was taken; the rest must come again after the next swap. */
  readonly bytes: number;
}

export interface FrameReader {
  /** Bytes before the magic line are dropped; after a broken frame everything is. The piece itself may be overwritten afterwards. */
  push(piece: Buffer): Taken;
  /** Whoever has the frames delivered so far now works on them: what he had before may be overwritten. */
  swap(): void;
  /** What broke the stream, or null. */
  broken(): BrokenStream | null;
  /** Whether the beginning of a frame waits for its end. */
  isMidFrame(): boolean;
  /** The last numbered frame delivered. */
  lastSeq(): number;
}

/** Two of these hold what is delivered and what is coming; they grow with the flood and serve it without further allocation. Most sandboxes have none. */
const firstBufferBytes = 8 * 1024;
const largestBufferBytes = 1024 * 1024;

/** Reads what the sandbox writes after the magic line with `nonce`; numbered frames up to `lastSeq` are known already. */
export function frameReader(nonce: string, lastSeq: number): FrameReader {
  const line = magicLine(noToken, nonce);
  let unsynced: Buffer | null = Buffer.alloc(0);
  let broken: BrokenStream | null = null;
  let last = lastSeq;
  let filling = Buffer.allocUnsafeSlow(firstBufferBytes);
  let other = Buffer.allocUnsafeSlow(firstBufferBytes);
  // In `filling`: frames handed out end at `start`, the bytes of a frame that is not whole yet at `end`.
  let start = 0;
  let end = 0;
  let handedOut = false;
  let wasFull = false;

  /** Moves the unfinished frame to the beginning of `target`, made larger where the frame or the flood needs it. */
  const moveTo = (target: Buffer<ArrayBuffer>, neededBytes: number): void => {
    const wanted = wasFull ? Math.min(target.length * 2, largestBufferBytes) : target.length;
    // The buffer that grew for a long frame may hold more of it than the other one has room for.
    const size = Math.max(wanted, neededBytes, end - start);
    const next = size > target.length ? Buffer.allocUnsafeSlow(size) : target;
    filling.copy(next, 0, start, end);
    filling = next;
    end -= start;
    start = 0;
    wasFull = false;
  };

  const accept = (frame: Frame, frames: Frame[]): void => {
    if (frame.seq !== 0) {
      if (frame.seq <= last) return;
      if (frame.seq !== last + 1) {
        broken = "gap";
        return;
      }
      last = frame.seq;
    }
    frames.push(frame);
  };

  /** Takes the whole frames out of `filling`; answers how long the unfinished one will be. */
  const takeFrames = (frames: Frame[]): number => {
    while (end - start >= headerBytes) {
      const bytes = filling.subarray(start, end);
      const header = readHeader(bytes);
      if (typeof header === "string") {
        broken = header;
        return 0;
      }
      const sumAt = headerBytes + header.length;
      if (bytes.length < sumAt + trailerBytes) return sumAt + trailerBytes;
      if (crc32(bytes.subarray(0, sumAt)) !== bytes.readUInt32BE(sumAt)) {
        broken = "checksum";
        return 0;
      }
      start += sumAt + trailerBytes;
      const body = bytes.subarray(headerBytes, sumAt);
      // An unnumbered frame waits for nobody's taking, so its few bytes must not hold the buffer: they get their own.
      accept({ ...header.frame, body: header.frame.seq === 0 ? Buffer.from(body) : body }, frames);
      if (broken) return 0;
    }
    return headerBytes;
  };

  /** Null while the magic line has not come; otherwise what of the piece stands behind it. */
  const seek = (piece: Buffer): Buffer | null => {
    const seen = Buffer.concat([unsynced ?? Buffer.alloc(0), piece]);
    const at = seen.indexOf(line);
    unsynced = at >= 0 ? null : Buffer.from(seen.subarray(Math.max(0, seen.length - line.length + 1)));
    return at >= 0 ? seen.subarray(at + line.length) : null;
  };

  return {
    broken: () => broken,
    isMidFrame: () => unsynced === null && end > start,
    lastSeq: () => last,
    push(piece) {
      const nothing = { frames: [], bytes: piece.length };
      if (broken) return nothing;
      const behind = unsynced === null ? piece : seek(piece);
      if (behind === null) return nothing;
      const frames: Frame[] = [];
      let at = 0;
      for (;;) {
        const neededBytes = takeFrames(frames);
        handedOut ||= frames.some(({ seq }) => seq !== 0);
        if (broken || at === behind.length) break;
        // With nothing handed out of it the buffer is ours alone: it may start from its beginning, and grow.
        if (end === filling.length && !handedOut) moveTo(filling, neededBytes);
        if (end === filling.length) {
          wasFull = true;
          break;
        }
        const copied = behind.copy(filling, end, at);
        at += copied;
        end += copied;
      }
      return { frames, bytes: piece.length - (broken ? 0 : behind.length - at) };
    },
    swap() {
      const before = filling;
      moveTo(other, 0);
      other = before;
      handedOut = false;
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
