import snappy from "snappy";

/** What Java clients write before their blocks; others write one bare block. */
const javaMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const javaHeaderBytes = 16;

/** @throws RangeError when it would be more than `maxBytes`; Error when it is no snappy. */
export async function uncompress(bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const blocks = bytes.subarray(0, javaMagic.length).equals(javaMagic) ? javaBlocks(bytes) : [bytes];
  const total = blocks.reduce((sum, block) => sum + declaredBytes(block), 0);
  if (total > maxBytes) throw new RangeError(`${total} bytes, at most ${maxBytes}`);
  const parts: Buffer[] = [];
  for (const block of blocks) parts.push(await snappy.uncompress(block, { asBuffer: true }).then(asBuffer));
  return Buffer.concat(parts);
}

const asBuffer = (whole: string | Buffer): Buffer => (typeof whole === "string" ? Buffer.from(whole) : whole);

function javaBlocks(bytes: Buffer): readonly Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = javaHeaderBytes; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const end = at + 4 + length;
    if (end > bytes.length) throw new Error("a block is cut off");
    blocks.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return blocks;
}

/** A block begins with the number of bytes it becomes, which is what the unpacker allots before it looks at the rest. */
function declaredBytes(block: Buffer): number {
  let value = 0;
  for (let at = 0; at < 5; at++) {
    const byte = block[at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return value;
  }
  throw new Error("its length cannot be read");
}
