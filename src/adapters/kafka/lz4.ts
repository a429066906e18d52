import { decompressFrame } from "lz4-napi";

/** @throws RangeError when it could be more than `maxBytes`; Error when it is no LZ4 frame. */
export async function uncompress(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const atMost = largestSize(bytes, maxBytes);
  if (atMost > maxBytes) throw new RangeError(`up to ${atMost} bytes, at most ${maxBytes}`);
  return await decompressFrame(bytes);
}

const frameMagic = 0x184d2204;
const storedBit = 0x80000000;

/**
 * What a frame becomes at most, from the sizes of its blocks alone: the unpacker has no bound of its own, and the content size that a
 * frame may claim binds nobody. A block becomes no more than 255 times its size, nor than the frame's largest block.
 */
function largestSize(bytes: Buffer, enough: number): number {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== frameMagic) throw new Error("no frame begins here");
  const flags = bytes.readUInt8(4);
  const blockBytes = 2 ** (8 + 2 * ((bytes.readUInt8(5) >> 4) & 0x7));
  const [hasDictionary, hasContentSize, hasBlockChecksum] = [flags & 0x01, flags & 0x08, flags & 0x10];
  let at = 7 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0);
  let total = 0;
  for (;;) {
    if (at + 4 > bytes.length) throw new Error("the frame is cut off");
    const word = bytes.readUInt32LE(at);
    if (word === 0) break;
    const isStored = word >= storedBit;
    const length = isStored ? word - storedBit : word;
    at += 4 + length + (hasBlockChecksum ? 4 : 0);
    total += isStored ? length : Math.min(blockBytes, length * 255);
    if (total > enough) return total;
  }
  // The unpacker would go on with a second frame.
  const end = at + 4 + (flags & 0x04 ? 4 : 0);
  if (end < bytes.length) throw new Error(`${bytes.length - end} bytes stand after its frame`);
  return total;
}
