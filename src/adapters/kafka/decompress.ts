import { promisify } from "node:util";
import { unzip, zstdDecompress } from "node:zlib";
import { uncompress as unLz4Frame } from "./lz4.ts";
import { uncompress as unSnappy } from "./snappy.ts";

/** Compression as the attributes of a batch name it. */
export type Codec = 1 | 2 | 3 | 4;

const unzipped = promisify(unzip);
const unZstd = promisify(zstdDecompress);

/**
 * The bytes of a batch, never more than `maxBytes`: a small batch may claim, or turn into, any size.
 * @throws Error, saying why, for what is no such compression or too large; without `maxBytes` ever having been allotted.
 */
export function decompress(codec: Codec, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  switch (codec) {
    case 1:
      return bounded("gzip", maxBytes, unzipped(bytes, { maxOutputLength: maxBytes }));
    case 2:
      return bounded("snappy", maxBytes, unSnappy(bytes, maxBytes));
    case 3:
      return bounded("lz4", maxBytes, unLz4Frame(bytes, maxBytes));
    case 4:
      return bounded("zstd", maxBytes, unZstd(bytes, { maxOutputLength: maxBytes }));
  }
}

async function bounded(name: string, maxBytes: number, work: Promise<Buffer>): Promise<Buffer> {
  try {
    return await work;
  } catch (cause) {
    const isTooLarge = cause instanceof RangeError;
    const why = isTooLarge ? `becomes more than ${maxBytes} bytes` : `cannot be unpacked: ${(cause as Error).message}`;
    throw new Error(`a ${name} batch ${why}`, { cause });
  }
}
