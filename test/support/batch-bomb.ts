import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { compressFrameSync } from "lz4-napi";
import snappy from "snappy";
import { varint } from "./record-batch.ts";

/** One record with a value of zeros, in pieces. */
function* hugeRecord(valueBytes: number): Generator<Buffer> {
  const before = Buffer.concat([Buffer.from([0]), varint(0), varint(0), varint(-1), varint(valueBytes)]);
  const after = varint(0);
  yield Buffer.concat([varint(before.length + valueBytes + after.length), before]);
  const piece = Buffer.alloc(1024 * 1024);
  for (let left = valueBytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  yield after;
}

/** What a sender's codec would have made of it, and a broker takes: one record that unpacks to `valueBytes`. */
export async function bombOf(codec: "gzip" | "snappy" | "lz4" | "zstd", valueBytes: number): Promise<Buffer> {
  switch (codec) {
    case "gzip":
      return await streamed(createGzip({ level: 9 }), valueBytes);
    case "zstd":
      return await streamed(createZstdCompress(), valueBytes);
    case "snappy":
      return snappy.compressSync(Buffer.concat([...hugeRecord(valueBytes)]));
    case "lz4":
      return compressFrameSync(Buffer.concat([...hugeRecord(valueBytes)]));
  }
}

async function streamed(packer: NodeJS.ReadWriteStream, valueBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  packer.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = once(packer, "end");
  await pipeline(hugeRecord(valueBytes), packer);
  await ended;
  return Buffer.concat(chunks);
}
