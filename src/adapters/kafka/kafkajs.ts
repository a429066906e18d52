import { createRequire } from "node:module";
import { sep } from "node:path";
import { type BatchRecord, decodeBatch } from "./record-batch.ts";

const require = createRequire(import.meta.url);

/** Where kafkajs 2.2.4 turns the messages of a fetched partition into records. Pinned: docs/decisions/0030-kafkajs.md. */
const fetchResponses = "kafkajs/src/protocol/requests/fetch";

/**
 * kafkajs, with its reading of fetched batches replaced by ours. Its own knows one of the four compressions, unpacks without a bound,
 * takes time that grows with the square of a message's headers, and fails the whole consumer, for ever, on a batch it cannot read.
 */
export function loadKafkajs(): typeof import("kafkajs") {
  const kafkajs = require("kafkajs") as typeof import("kafkajs");
  const place = require.resolve(`${fetchResponses}/v4/decodeMessages`);
  const original = require(place) as DecodeMessages & { readonly [ours]?: true };
  const cached = require.cache[place];
  if (original[ours] || cached === undefined) return kafkajs;
  cached.exports = Object.assign(decodeMessages, { [ours]: true as const });
  // Whoever fetched before has its own readers loaded, which hold on to the original.
  const folder = require.resolve(`${fetchResponses}/index`).slice(0, -"index.js".length);
  for (const path of Object.keys(require.cache))
    if (path.startsWith(folder) && path.endsWith(`${sep}response.js`)) delete require.cache[path];
  return kafkajs;
}

type DecodeMessages = (decoder: FetchDecoder) => Promise<readonly BatchRecord[]>;

/** kafkajs' reader, which is moved past what was read. */
interface FetchDecoder {
  readonly buffer: Buffer;
  offset: number;
  readInt32(): number;
}

const ours: unique symbol = Symbol("reads batches with bounds");
const magicAt = 16;
/** Of one answer, over all its partitions: what is beyond comes with the next. The first batch always comes, or there would be no end. */
const enoughBytes = 16 * 1024 * 1024;
const enoughRecords = 20_000;
/** By answer, since all partitions of one are read by one reader. */
const used = new WeakMap<FetchDecoder, { bytes: number; records: number }>();

async function decodeMessages(decoder: FetchDecoder): Promise<readonly BatchRecord[]> {
  const size = decoder.readInt32();
  if (size <= 0 || decoder.buffer.length - decoder.offset < size) return [];
  const bytes = decoder.buffer.subarray(decoder.offset, decoder.offset + size);
  decoder.offset += size;
  const records: BatchRecord[] = [];
  const soFar = used.get(decoder) ?? { bytes: 0, records: 0 };
  used.set(decoder, soFar);
  for (let at = 0; soFar.bytes < enoughBytes && soFar.records < enoughRecords; ) {
    if (bytes.length - at <= magicAt) break;
    const magic = bytes.readInt8(at + magicAt);
    if (magic !== 2) throw new Error(`messages of format ${magic}: topics written before Kafka 0.11 are not read`);
    const batch = await decodeBatch(bytes, at);
    if (batch === null) break;
    for (const record of batch.records) records.push(record);
    soFar.bytes += batch.sizeBytes;
    soFar.records += batch.records.length;
    at += batch.encodedBytes;
  }
  return records;
}
