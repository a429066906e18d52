/** One record for {@link recordBatch}. */
export interface TestRecord {
  readonly key?: string;
  readonly value?: string | Buffer;
  readonly headers?: readonly (readonly [string, string])[];
}

export interface TestBatch {
  readonly firstOffset?: number;
  readonly lastOffsetDelta?: number;
  readonly recordCount?: number;
  /** Bits of the attributes: 1 gzip, 2 snappy, 3 lz4, 4 zstd, 0x10 in a transaction, 0x20 control. */
  readonly attributes?: number;
  /** The records as they stand in the batch, compressed or not. */
  readonly body: Buffer;
}

/** A batch as a broker stores it (magic 2), written by the book; its checksum is 0, which nobody here looks at. */
export function recordBatch({
  firstOffset = 0,
  lastOffsetDelta = 0,
  recordCount = 1,
  attributes = 0,
  body,
}: TestBatch): Buffer {
  const batch = Buffer.alloc(61 + body.length);
  batch.writeBigInt64BE(BigInt(firstOffset), 0);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(attributes, 21);
  batch.writeInt32BE(lastOffsetDelta, 23);
  batch.writeBigInt64BE(1_767_225_600_000n, 27);
  batch.writeBigInt64BE(1_767_225_600_000n, 35);
  batch.writeBigInt64BE(-1n, 43);
  batch.writeInt32BE(recordCount, 57);
  body.copy(batch, 61);
  return batch;
}

/** Records with offsets in a row, not compressed. */
export function recordsBody(records: readonly TestRecord[]): Buffer {
  return Buffer.concat(
    records.map(({ key, value, headers = [] }, index) => {
      const fields = [
        Buffer.from([0]),
        varint(0),
        varint(index),
        field(key),
        field(value),
        varint(headers.length),
        ...headers.flatMap(([name, text]) => [field(name), field(text)]),
      ];
      const record = Buffer.concat(fields);
      return Buffer.concat([varint(record.length), record]);
    }),
  );
}

const field = (value: string | Buffer | undefined): Buffer =>
  value === undefined ? varint(-1) : Buffer.concat([varint(Buffer.byteLength(value)), Buffer.from(value)]);

/** Zigzag, 7 bits a byte, the lowest first. */
export function varint(value: number): Buffer {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}
