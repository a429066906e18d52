import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { headTail } from "../../../src/executor/head-tail.ts";

describe("the head and the tail of a stream", () => {
  test("is all of it while it fits", () => {
    const kept = headTail(10);
    kept.add(Buffer.from("01234"));
    kept.add(Buffer.from("56789"));
    expect(kept.text()).toEqual({ text: "0123456789", encoding: "utf-8" });
  });

  test("counts what is left out, to the byte", () => {
    const kept = headTail(4);
    kept.add(Buffer.from("abcdefghij"));
    expect(kept.text().text).toBe("ab\n[… 6 bytes left out …]\nij");
    expect(kept.totalBytes()).toBe(10);
  });

  test("what was skipped is counted where it was, however much would have fit", () => {
    const kept = headTail(100);
    kept.add(Buffer.from("abc"));
    kept.skip(0);
    kept.add(Buffer.from("xyz"));
    kept.skip(10);
    expect(kept.text().text).toBe("abc\n[… 10 bytes left out …]\nxyz");
    expect(kept.totalBytes()).toBe(16);
  });

  test("never cuts a character in two: what it would cut counts as left out", () => {
    const kept = headTail(8);
    kept.add(Buffer.from("€€€€€€"));
    // 18 bytes; head and tail have 4 bytes each, which is one character and a third of the next.
    expect(kept.text()).toEqual({ text: "€\n[… 12 bytes left out …]\n€", encoding: "utf-8" });
  });

  test("a character split between two pieces is whole", () => {
    const kept = headTail(100);
    for (const byte of Buffer.from("añ€😀")) kept.add(Buffer.from([byte]));
    expect(kept.text()).toEqual({ text: "añ€😀", encoding: "utf-8" });
  });

  test("bytes that are no text are base64", () => {
    const kept = headTail(100);
    kept.add(Buffer.from([0xff, 0x00, 0x41]));
    expect(kept.text()).toEqual({ text: Buffer.from([0xff, 0x00, 0x41]).toString("base64"), encoding: "base64" });
  });

  test("however the bytes are cut, the answer is the same", () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 2, max: 64 }), (chunks, capBytes) => {
        const inPieces = headTail(capBytes);
        for (const chunk of chunks) inPieces.add(Buffer.from(chunk));
        const whole = headTail(capBytes);
        whole.add(Buffer.concat(chunks));
        expect(inPieces.text()).toEqual(whole.text());
        expect(inPieces.totalBytes()).toBe(whole.totalBytes());
      }),
    );
  });
});
