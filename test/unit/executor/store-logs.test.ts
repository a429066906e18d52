import fc from "fast-check";
import { expect, test } from "vitest";
import { logLines } from "../../../src/executor/store-logs.ts";
import type { LogEntry } from "../../../src/ports/log-sink.ts";

const output = (seq: number, bytes: Buffer, stream: "stdout" | "stderr" = "stdout"): LogEntry => ({
  kind: "output",
  seq,
  atMs: Date.UTC(2026, 0, 1),
  stream,
  bytes,
});
const linesOf = (entries: readonly LogEntry[]) => [...logLines(entries)].map((line) => JSON.parse(line));

test("a line says when, where and what", () => {
  expect(linesOf([output(5, Buffer.from("hi\n"))])).toEqual([
    { seq: 5, time: "2026-01-01T00:00:00.000Z", stream: "stdout", text: "hi\n" },
  ]);
});

test("a character that was split stands whole in the later line, also across the other stream", () => {
  const euro = Buffer.from("€");
  const lines = linesOf([
    output(1, euro.subarray(0, 1)),
    output(2, Buffer.from("x"), "stderr"),
    output(3, euro.subarray(1)),
  ]);
  expect(lines.map(({ stream, text }) => [stream, text])).toEqual([
    ["stderr", "x"],
    ["stdout", "€"],
  ]);
});

test("what is no UTF-8 is base64", () => {
  expect(linesOf([output(1, Buffer.from([0xff, 0x41]))])).toMatchObject([{ base64: "/0E=" }]);
});

test("a gap is a line of its own", () => {
  expect(linesOf([{ kind: "gap", from: 3, to: 9, bytes: 77 }])).toEqual([{ gap: { from: 3, to: 9, bytes: 77 } }]);
});

test("no byte is lost or doubled, whatever was written", () => {
  const pieces = fc.array(
    fc.tuple(fc.constantFrom("stdout" as const, "stderr" as const), fc.uint8Array({ maxLength: 12 })),
  );
  fc.assert(
    fc.property(pieces, (written) => {
      const lines = linesOf(written.map(([stream, bytes], index) => output(index + 1, Buffer.from(bytes), stream)));
      for (const stream of ["stdout", "stderr"] as const) {
        const back = lines
          .filter((line) => line.stream === stream)
          .map((line) => (line.base64 === undefined ? Buffer.from(line.text) : Buffer.from(line.base64, "base64")));
        const given = written.filter(([name]) => name === stream).map(([, bytes]) => Buffer.from(bytes));
        expect(Buffer.concat(back)).toEqual(Buffer.concat(given));
      }
    }),
  );
});
