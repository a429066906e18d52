import { type Codec, decompress } from "./decompress.ts";

/** One record as kafkajs hands it on. */
export interface BatchRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | Buffer[]>>;
  readonly droppedHeaders: number;
  /** Unix milliseconds, decimal. */
  readonly timestamp: string;
  readonly offset: string;
  readonly attributes: number;
  readonly isControlRecord: boolean;
  readonly batchContext: BatchContext;
  /** Set on the one record that stands for a whole batch that cannot be read; its offset is the batch's last. */
  readonly unreadable?: { readonly firstOffset: string; readonly why: string };
}

interface BatchContext {
  readonly producerId: string;
  readonly inTransaction: boolean;
}

export interface DecodedBatch {
  readonly records: readonly BatchRecord[];
  /** Bytes that its records hold on to. */
  readonly sizeBytes: number;
  /** Of the whole batch, as it stood in the answer. */
  readonly encodedBytes: number;
}

/** Of one batch, unpacked: room for any request, and for what a sender batches in good faith. */
export const maxBatchBytes = 32 * 1024 * 1024;
export const maxBatchRecords = 100_000;
/** What a message's headers are for, trace context and names, needs no more. */
const maxHeaders = 64;
const maxHeaderBytes = 64 * 1024;

const headerBytes = 61;
const lengthAt = 8;
const countedFrom = 12;

/**
 * Takes the batch at `start` apart, or answers null where the answer ends before the batch does. A batch that cannot be read, or that
 * would be too much, becomes one record that says so: it must not stand in the way of what comes after it.
 */
export async function decodeBatch(bytes: Buffer, start: number): Promise<DecodedBatch | null> {
  if (bytes.length - start < countedFrom) return null;
  const encodedBytes = countedFrom + bytes.readInt32BE(start + lengthAt);
  if (bytes.length - start < encodedBytes) return null;
  const batch = bytes.subarray(start, start + encodedBytes);
  if (encodedBytes < headerBytes) throw new Error(`a batch of ${encodedBytes} bytes, at least ${headerBytes}`);
  const header = headerOf(batch);
  try {
    if (header.recordCount > maxBatchRecords)
      throw new Error(`the batch has ${header.recordCount} records, at most ${maxBatchRecords}`);
    const body = batch.subarray(headerBytes);
    const unpacked = header.codec === 0 ? body : await decompress(knownCodec(header.codec), body, maxBatchBytes);
    return { records: readRecords(unpacked, header), sizeBytes: unpacked.length, encodedBytes };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return { records: [unreadable(header, why)], sizeBytes: 0, encodedBytes };
  }
}

interface Header extends BatchContext {
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  readonly codec: number;
  readonly isControl: boolean;
  readonly isLogAppendTime: boolean;
  readonly firstTimestamp: bigint;
  readonly maxTimestamp: bigint;
  readonly recordCount: number;
}

function headerOf(batch: Buffer): Header {
  const attributes = batch.readInt16BE(21);
  const firstOffset = batch.readBigInt64BE(0);
  return {
    firstOffset,
    lastOffset: firstOffset + BigInt(Math.max(0, batch.readInt32BE(23))),
    codec: attributes & 0x07,
    isLogAppendTime: (attributes & 0x08) !== 0,
    inTransaction: (attributes & 0x10) !== 0,
    isControl: (attributes & 0x20) !== 0,
    firstTimestamp: batch.readBigInt64BE(27),
    maxTimestamp: batch.readBigInt64BE(35),
    producerId: batch.readBigInt64BE(43).toString(),
    recordCount: batch.readInt32BE(57),
  };
}

function knownCodec(codec: number): Codec {
  if (codec === 1 || codec === 2 || codec === 3 || codec === 4) return codec;
  throw new Error(`compression ${codec} is not known`);
}

function unreadable(header: Header, why: string): BatchRecord {
  return {
    ...{ key: null, value: null, headers: {}, droppedHeaders: 0, attributes: 0, isControlRecord: header.isControl },
    timestamp: header.maxTimestamp.toString(),
    offset: header.lastOffset.toString(),
    batchContext: header,
    unreadable: { firstOffset: header.firstOffset.toString(), why },
  };
}

function readRecords(bytes: Buffer, header: Header): readonly BatchRecord[] {
  const reader = recordReader(bytes);
  const records: BatchRecord[] = [];
  for (let index = 0; index < header.recordCount; index++) {
    const end = reader.length("a record") + reader.at();
    if (end > bytes.length) throw new Error(`record ${index} is cut off`);
    const attributes = reader.byte();
    const timestamp = header.firstTimestamp + reader.varint();
    const offset = header.firstOffset + reader.varint();
    const key = reader.bytesOrNull();
    const value = reader.bytesOrNull();
    const { headers, droppedHeaders } = readHeaders(reader);
    if (reader.at() !== end) throw new Error(`record ${index} is not as long as it says`);
    records.push({
      ...{ key, value, headers, droppedHeaders, attributes },
      timestamp: (header.isLogAppendTime ? header.maxTimestamp : timestamp).toString(),
      offset: offset.toString(),
      isControlRecord: header.isControl,
      batchContext: header,
    });
  }
  return records;
}

function readHeaders(reader: RecordReader): Pick<BatchRecord, "headers" | "droppedHeaders"> {
  const count = reader.length("the number of headers");
  // What a sender calls its headers must not be what objects are made of.
  const headers: Record<string, Buffer | Buffer[]> = Object.create(null);
  let kept = 0;
  let keptBytes = 0;
  for (let index = 0; index < count; index++) {
    const name = reader.bytesOrNull() ?? Buffer.alloc(0);
    const value = reader.bytesOrNull() ?? Buffer.alloc(0);
    keptBytes += name.length + value.length;
    if (kept === maxHeaders || keptBytes > maxHeaderBytes) continue;
    kept += 1;
    const text = name.toString("utf8");
    const known = headers[text];
    headers[text] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return { headers, droppedHeaders: count - kept };
}

interface RecordReader {
  at(): number;
  byte(): number;
  varint(): bigint;
  /** A count or length of what is still to come: never more than there are bytes. */
  length(what: string): number;
  bytesOrNull(): Buffer | null;
}

function recordReader(bytes: Buffer): RecordReader {
  let at = 0;
  const byte = (): number => {
    const value = bytes[at];
    if (value === undefined) throw new Error("the batch ends within a record");
    at += 1;
    return value;
  };
  /** Zigzag, up to 64 bits. Nearly all fit a number, which is some ten times faster. */
  const varint = (): bigint => {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const next = byte();
      low |= (next & 0x7f) << shift;
      if (next < 0x80) return BigInt((low >>> 1) ^ -(low & 1));
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const next = byte();
      value |= BigInt(next & 0x7f) << shift;
      if (next < 0x80) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    throw new Error("a number has more than ten bytes");
  };
  const length = (what: string): number => {
    const value = Number(varint());
    if (value < 0 || value > bytes.length - at) throw new Error(`${what} says ${value}, ${bytes.length - at} are left`);
    return value;
  };
  return {
    at: () => at,
    byte,
    varint,
    length,
    bytesOrNull() {
      const start = at;
      if (varint() === -1n) return null;
      at = start;
      const end = length("a field") + at;
      const value = bytes.subarray(at, end);
      at = end;
      return value;
    },
  };
}
