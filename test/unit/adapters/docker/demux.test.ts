import fc from "fast-check";
import { expect, test } from "vitest";
import { demux } from "../../../../src/adapters/docker/protocol/demux.ts";

function muxed(stream: "stdout" | "stderr", bytes: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream === "stdout" ? 1 : 2;
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

test("both streams come out whole and in order, however the engine's stream is cut, from a buffer that is used again", () => {
  const pieces = fc.array(
    fc.tuple(fc.constantFrom("stdout" as const, "stderr" as const), fc.uint8Array({ maxLength: 50 })),
  );
  const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(pieces, cuts, (written, sizes) => {
      const all = Buffer.concat(written.map(([stream, bytes]) => muxed(stream, Buffer.from(bytes))));
      const split = demux();
      const buffer = Buffer.alloc(30);
      const seen: { stream: string; byte: number }[] = [];
      for (let at = 0, turn = 0; at < all.length; turn += 1) {
        const size = sizes[turn % sizes.length] ?? 1;
        const length = all.copy(buffer, 0, at, at + size);
        for (const { stream, bytes } of split(buffer.subarray(0, length)))
          for (const byte of bytes) seen.push({ stream, byte });
        at += size;
      }
      expect(seen).toEqual(written.flatMap(([stream, bytes]) => [...bytes].map((byte) => ({ stream, byte }))));
    }),
  );
});
