import fc from "fast-check";
import { expect, test } from "vitest";
import { lineSplitter } from "../../../../src/adapters/loki/line-splitter.ts";

const texts = (lines: readonly Buffer[]): readonly string[] => lines.map((line) => line.toString());

test("a line is what comes before its end, however the pieces were cut", () => {
  const splitter = lineSplitter(100);
  expect(texts(splitter.split(Buffer.from("one\ntw")))).toEqual(["one"]);
  expect(texts(splitter.split(Buffer.from("o")))).toEqual([]);
  expect(texts(splitter.split(Buffer.from("\n\nfour")))).toEqual(["two", ""]);
  expect(splitter.keptBytes()).toBe(4);
  expect(splitter.rest(false).toString()).toBe("four");
  expect(splitter.keptBytes()).toBe(0);
});

test("what is kept is the splitter's own", () => {
  const splitter = lineSplitter(100);
  const bytes = Buffer.from("kept");
  splitter.split(bytes);
  bytes.fill("x");
  expect(splitter.rest(false).toString()).toBe("kept");
});

test("a line that is too long is cut, and no character with it", () => {
  const splitter = lineSplitter(5);
  expect(texts(splitter.split(Buffer.from("üüüü\n12345\n123456")))).toEqual(["üü", "üü", "12345", "12345"]);
  expect(splitter.rest(false).toString()).toBe("6");
});

test("a character of which the rest may come is waited for, once", () => {
  const splitter = lineSplitter(100);
  splitter.split(Buffer.from("ab€").subarray(0, 4));
  expect(splitter.rest(true).toString()).toBe("ab");
  splitter.split(Buffer.from("€").subarray(2));
  expect(splitter.rest(true).toString()).toBe("€");
  splitter.split(Buffer.from([0xe2, 0x82]));
  expect(splitter.rest(true)).toEqual(Buffer.from([0xe2, 0x82]));
});

test("no byte is lost or doubled, whatever comes and however it is cut", () => {
  const piece = fc
    .uint8Array({ maxLength: 40 })
    .map((bytes) => Buffer.from(bytes.map((byte) => (byte % 5 === 0 ? 10 : byte))));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 4, max: 16 }), (pieces, maxLineBytes) => {
      const splitter = lineSplitter(maxLineBytes);
      const lines = [...pieces.flatMap((bytes) => splitter.split(bytes)), splitter.rest(false)];
      expect(Math.max(...lines.map((line) => line.byteLength))).toBeLessThanOrEqual(maxLineBytes);
      const without = (bytes: Buffer): Buffer => Buffer.from(bytes.filter((byte) => byte !== 10));
      expect(Buffer.concat(lines)).toEqual(without(Buffer.concat(pieces)));
    }),
  );
});
