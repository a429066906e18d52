import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { compressFrameSync } from "lz4-napi";
import snappy from "snappy";
import { describe, expect, test } from "vitest";
import { decodeBatch, maxBatchBytes } from "../../../../src/adapters/kafka/record-batch.ts";
import { recordBatch, recordsBody, type TestRecord, varint } from "../../../support/record-batch.ts";

const records: readonly TestRecord[] = [
  { key: "acme", value: "first", headers: [["traceparent", "00-a"]] },
  {
    value: "x".repeat(100_000),
    headers: [
      ["twice", "1"],
      ["twice", "2"],
      ["__proto__", "kept"],
    ],
  },
  { key: "tombstone" },
];
const body = recordsBody(records);
const whole = { firstOffset: 41, lastOffsetDelta: 2, recordCount: 3 };

/** As the snappy of Java has it: a header, then blocks with their lengths. */
function javaSnappy(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])];
  for (let at = 0; at < bytes.length; at += 32 * 1024) {
    const block = snappy.compressSync(bytes.subarray(at, at + 32 * 1024));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

const compressions: readonly (readonly [string, number, (bytes: Buffer) => Buffer])[] = [
  ["none", 0, (bytes) => bytes],
  ["gzip", 1, (bytes) => gzipSync(bytes)],
  ["snappy", 2, (bytes) => snappy.compressSync(bytes)],
  ["snappy of Java", 2, javaSnappy],
  ["lz4", 3, (bytes) => compressFrameSync(bytes)],
  ["lz4 with checksums", 3, (bytes) => compressFrameSync(bytes, { contentChecksum: true, blockChecksums: true })],
  ["zstd", 4, (bytes) => zstdCompressSync(bytes)],
];

test.each(compressions)("a batch comes apart: %s", async (_name, codec, compress) => {
  const batch = recordBatch({ ...whole, attributes: codec, body: compress(body) });
  const decoded = await decodeBatch(Buffer.concat([Buffer.from("before"), batch, Buffer.from("after")]), 6);
  expect(decoded).toMatchObject({ encodedBytes: batch.length, sizeBytes: body.length });
  expect(decoded?.records.map(({ offset }) => offset)).toEqual(["41", "42", "43"]);
  const [first, second, third] = decoded?.records ?? [];
  expect(first).toMatchObject({ key: Buffer.from("acme"), value: Buffer.from("first"), timestamp: "1767225600000" });
  expect(second?.value?.length).toBe(100_000);
  expect(Object.entries(second?.headers ?? {})).toEqual([
    ["twice", [Buffer.from("1"), Buffer.from("2")]],
    ["__proto__", Buffer.from("kept")],
  ]);
  expect(third).toMatchObject({ key: Buffer.from("tombstone"), value: null });
});

describe("one record stands for a batch", () => {
  const bomb = Buffer.alloc(maxBatchBytes + 1);
  const standsFor = async (batch: Buffer): Promise<string | undefined> => {
    const decoded = await decodeBatch(batch, 0);
    expect(decoded?.encodedBytes).toBe(batch.length);
    expect(decoded?.records).toHaveLength(1);
    expect(decoded?.records[0]).toMatchObject({ offset: "43", unreadable: { firstOffset: "41" } });
    return decoded?.records[0]?.unreadable?.why;
  };

  test.each(compressions.filter(([, codec]) => codec !== 0))(
    "that would be too large: %s",
    async (_name, codec, compress) => {
      expect(await standsFor(recordBatch({ ...whole, attributes: codec, body: compress(bomb) }))).toMatch(
        /^a \w+ batch becomes more than 33554432 bytes$/,
      );
    },
  );

  test.each(compressions.filter(([, codec]) => codec !== 0))(
    "that is no such compression: %s",
    async (_name, codec) => {
      expect(
        await standsFor(recordBatch({ ...whole, attributes: codec, body: Buffer.from("nothing of the kind") })),
      ).toMatch(/^a \w+ batch cannot be unpacked: /);
    },
  );

  test("with a compression that nobody knows", async () => {
    expect(await standsFor(recordBatch({ ...whole, attributes: 5, body }))).toBe("compression 5 is not known");
  });

  test("that says it has records without number", async () => {
    const why = await standsFor(recordBatch({ ...whole, recordCount: 150_000_000, body }));
    expect(why).toBe("the batch has 150000000 records, at most 100000");
  });

  test("whose record is longer than the batch", async () => {
    expect(await standsFor(recordBatch({ ...whole, body: Buffer.concat([varint(1000), Buffer.from("x")]) }))).toMatch(
      /says 1000, 1 are left/,
    );
  });

  test("whose record is not as long as it says", async () => {
    const record = Buffer.concat([varint(8), Buffer.from([0]), ...[0, 0, -1, -1, 0].map(varint), Buffer.alloc(2)]);
    expect(await standsFor(recordBatch({ ...whole, recordCount: 1, body: record }))).toBe(
      "record 0 is not as long as it says",
    );
  });
});

test("a snappy block that claims gigabytes is refused before they are allotted", async () => {
  const claim = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
  const decoded = await decodeBatch(recordBatch({ ...whole, attributes: 2, body: claim }), 0);
  expect(decoded?.records[0]?.unreadable?.why).toBe("a snappy batch becomes more than 33554432 bytes");
});

test("a batch that the answer cuts off is left for the next fetch, wherever it is cut", async () => {
  const batch = recordBatch({ ...whole, body: recordsBody([{ value: "x" }]) });
  for (let length = 0; length < batch.length; length++)
    expect(await decodeBatch(batch.subarray(0, length), 0)).toBeNull();
});

test("a flood of headers costs no more than its bytes, and the first 64 are kept", async () => {
  const headers = Array.from({ length: 100_000 }, (_, index) => [`h${index}`, ""] as const);
  const batch = recordBatch({ body: recordsBody([{ value: "x", headers }]) });
  const startedAt = performance.now();
  const decoded = await decodeBatch(batch, 0);
  expect(performance.now() - startedAt).toBeLessThan(2000);
  expect(Object.keys(decoded?.records[0]?.headers ?? {})).toHaveLength(64);
  expect(decoded?.records[0]?.droppedHeaders).toBe(99_936);
});

test("whatever stands in a batch, it comes apart or is passed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 0, max: 7 }),
      fc.nat(5),
      async (bytes, attributes, recordCount) => {
        const decoded = await decodeBatch(
          recordBatch({ ...whole, attributes, recordCount, body: Buffer.from(bytes) }),
          0,
        );
        expect(decoded?.encodedBytes).toBe(61 + bytes.length);
      },
    ),
  );
});
