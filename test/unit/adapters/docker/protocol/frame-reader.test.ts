import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeFrame,
  type Frame,
  magicLine,
  maxBodyBytes,
  noToken,
} from "../../../../../src/adapters/docker/protocol/frame.ts";
import { frameReader } from "../../../../../src/adapters/docker/protocol/frame-reader.ts";

// The same file as the tests of sandbox-init; its schema is in the README beside it.
const fixtures = new URL("../../../../../sandbox-images/init/testdata/frames.json", import.meta.url);

type Part = string | { readonly repeat_hex: string; readonly count: number };
interface FrameFact {
  readonly type: number;
  readonly channel: number;
  readonly seq: number;
  readonly time_us: number;
  readonly body_hex?: string;
  readonly body_repeat?: { readonly repeat_hex: string; readonly count: number };
}
type Fact = { readonly magic: string } | { readonly error: string } | FrameFact;
interface Case {
  readonly name: string;
  readonly stream: "host" | "sandbox";
  readonly nonce?: string;
  readonly bytes: readonly Part[];
  readonly encode?: boolean;
  readonly expect: readonly Fact[];
}

const { cases } = JSON.parse(readFileSync(fixtures, "utf8")) as { readonly cases: readonly Case[] };

const bytesOf = (part: Part): Buffer =>
  typeof part === "string"
    ? Buffer.from(part, "hex")
    : Buffer.concat(Array.from({ length: part.count }, () => Buffer.from(part.repeat_hex, "hex")));

const isFrame = (fact: Fact): fact is FrameFact => "type" in fact;

const frameOf = ({ type, channel, seq, time_us, body_hex, body_repeat }: FrameFact): Frame => ({
  type,
  channel,
  seq,
  timeUs: time_us,
  body: body_repeat ? bytesOf(body_repeat) : Buffer.from(body_hex ?? "", "hex"),
});

/**
 * Reads as a link does, taking what was delivered whenever there is no room for more, and behind the chunks that `isTaken` names, in
 * turn: whoever has the frames takes them when he comes to it.
 */
function read(nonce: string, chunks: Iterable<Buffer>, isTaken: readonly boolean[] = [false]) {
  const reader = frameReader(nonce, 0);
  const frames: Frame[] = [];
  let turn = 0;
  for (const chunk of chunks) {
    turn += 1;
    if (isTaken[turn % isTaken.length]) reader.swap();
    for (let rest = chunk; rest.length > 0; ) {
      const taken = reader.push(rest);
      frames.push(...taken.frames.map((frame) => ({ ...frame, body: Buffer.from(frame.body) })));
      rest = rest.subarray(taken.bytes);
      if (rest.length > 0) reader.swap();
    }
  }
  return { frames, broken: reader.broken() };
}

function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe("the shared byte fixtures, read by the host", () => {
  const ours = cases.filter(({ stream }) => stream === "sandbox");

  test("are there", () => {
    expect(ours.length).toBeGreaterThan(10);
  });

  describe.each(ours)("$name", ({ nonce = "", bytes, expect: facts }) => {
    const stream = Buffer.concat(bytes.map(bytesOf));
    const error = facts.find((fact) => "error" in fact);
    const wanted = {
      frames: facts.filter(isFrame).map(frameOf),
      broken: error && "error" in error ? error.error : null,
    };

    test.each<[string, readonly number[]]>([
      ["whole", [stream.length || 1]],
      ["in pieces", [7, 1, 100, 24, 4096, 3]],
      ["in the engine's pieces", [32_768]],
    ])("%s", (_name, sizes) => {
      expect(read(nonce, cut(stream, sizes))).toEqual(wanted);
    });

    test("its first 20,000 bytes one by one", () => {
      const slowly = [...cut(stream.subarray(0, 20_000), [1]), stream.subarray(20_000)];
      expect(read(nonce, slowly)).toEqual(wanted);
    });
  });
});

describe("the shared byte fixtures, written by the host", () => {
  const ours = cases.filter(({ stream, encode }) => stream === "host" && encode);

  test.each(ours)("$name", ({ bytes, expect: facts }) => {
    const written = facts.flatMap((fact) => {
      if (isFrame(fact)) return [...encodeFrame(frameOf(fact))];
      return "magic" in fact ? [magicLine(noToken, fact.magic)] : [];
    });
    expect(Buffer.concat(written)).toEqual(Buffer.concat(bytes.map(bytesOf)));
  });

  test("are there", () => {
    expect(ours.length).toBeGreaterThan(2);
  });
});

const aFrame = fc.record({
  type: fc.integer({ min: 0x42, max: 0x4c }),
  channel: fc.constant(0),
  timeUs: fc.nat(),
  body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});
const nonce = "0123456789abcdef0123456789abcdef";

test("what was delivered stays as it was until the swap after next", () => {
  const reader = frameReader(nonce, 0);
  reader.push(magicLine(noToken, nonce));
  const send = (seq: number): Frame | undefined => {
    const bytes = Buffer.concat(
      encodeFrame({ type: 0x42, channel: 0, seq, timeUs: 0, body: Buffer.alloc(70_000, seq) }),
    );
    const taken = reader.push(bytes);
    expect(taken.bytes).toBe(bytes.length);
    return taken.frames[0];
  };
  const first = send(1);
  reader.swap();
  const second = send(2);
  expect(first?.body).toEqual(Buffer.alloc(70_000, 1));
  reader.swap();
  send(3);
  expect(second?.body).toEqual(Buffer.alloc(70_000, 2));
});

test("a long frame that is not whole when a swap comes is gone on with", () => {
  const frame = { type: 0x42, channel: 0, seq: 1, timeUs: 0, body: Buffer.alloc(maxBodyBytes, 7) };
  const bytes = Buffer.concat(encodeFrame(frame));
  const reader = frameReader(nonce, 0);
  reader.push(magicLine(noToken, nonce));
  expect(reader.push(bytes.subarray(0, 200_000)).bytes).toBe(200_000);
  reader.swap();
  expect(reader.push(bytes.subarray(200_000)).frames).toEqual([frame]);
});

test("without a swap the stream is held, and nothing that was delivered is overwritten", () => {
  const reader = frameReader(nonce, 0);
  reader.push(magicLine(noToken, nonce));
  const stream = Buffer.concat(
    Array.from({ length: 40 }, (_, index) =>
      Buffer.concat(
        encodeFrame({ type: 0x42, channel: 0, seq: index + 1, timeUs: 0, body: Buffer.alloc(60_000, index) }),
      ),
    ),
  );
  const { frames, bytes } = reader.push(stream);
  expect(bytes).toBeLessThan(stream.length);
  expect(reader.push(stream.subarray(bytes)).bytes).toBe(0);
  for (const [index, frame] of frames.entries()) expect(frame.body).toEqual(Buffer.alloc(60_000, index));
});

test("waits for nobody where there is nothing to be taken: acknowledgements and repeated frames hold no room", () => {
  const reader = frameReader(nonce, 9);
  const unnumbered = { type: 0x48, channel: 0, seq: 0, timeUs: 0, body: Buffer.alloc(8, 7) };
  const known = { type: 0x42, channel: 0, seq: 9, timeUs: 0, body: Buffer.alloc(60_000) };
  const stream = Buffer.concat([
    magicLine(noToken, nonce),
    ...Array.from({ length: 50 }, () => [...encodeFrame(unnumbered), ...encodeFrame(known)]).flat(),
  ]);
  const { frames, bytes } = reader.push(stream);
  expect(bytes).toBe(stream.length);
  expect(frames).toEqual(Array.from({ length: 50 }, () => unnumbered));
});

describe("any stream", () => {
  test("comes out as it went in, however it is cut", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(
        fc.array(aFrame, { maxLength: 12 }),
        sizes,
        fc.uint8Array({ maxLength: 90 }),
        (bodies, cuts, garbage) => {
          const frames = bodies.map((frame, index) => ({ ...frame, seq: index + 1 }));
          const stream = Buffer.concat([
            Buffer.from(garbage),
            magicLine(noToken, nonce),
            ...frames.flatMap((frame) => [...encodeFrame(frame)]),
          ]);
          expect(read(nonce, cut(stream, cuts))).toEqual({ frames, broken: null });
        },
      ),
    );
  });

  test("of frames of every length comes out as it went in, however it is cut and whenever it is taken", () => {
    const length = fc.oneof(fc.nat(300), fc.nat(maxBodyBytes));
    const size = fc.oneof(fc.integer({ min: 200, max: 2000 }), fc.integer({ min: 2000, max: 131_072 }));
    fc.assert(
      fc.property(
        fc.array(length, { minLength: 1, maxLength: 6 }),
        fc.array(size, { minLength: 1, maxLength: 5 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
        (lengths, cuts, isTaken) => {
          const frames = lengths.map((bytes, index) => ({
            ...{ type: 0x42, channel: 0, seq: index + 1, timeUs: 0 },
            body: Buffer.alloc(bytes, `${index} of ${bytes} `),
          }));
          const stream = Buffer.concat([
            magicLine(noToken, nonce),
            ...frames.flatMap((frame) => [...encodeFrame(frame)]),
          ]);
          const seen = read(nonce, cut(stream, cuts), isTaken);
          expect(seen.broken).toBe(null);
          expect(seen.frames.map(({ seq }) => seq)).toEqual(frames.map(({ seq }) => seq));
          for (const [index, frame] of frames.entries()) expect(seen.frames[index]?.body.equals(frame.body)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("with bytes changed gives no frame that was not sent, and never throws", () => {
    const changes = fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(aFrame, { minLength: 1, maxLength: 8 }), changes, (bodies, mutations) => {
        const frames = bodies.map((frame, index) => ({ ...frame, seq: index + 1 }));
        const line = magicLine(noToken, nonce);
        const body = Buffer.concat(frames.flatMap((frame) => [...encodeFrame(frame)]));
        for (const [at, value] of mutations) body[at % body.length] = value;
        for (const frame of read(nonce, [line, body]).frames) expect(frames).toContainEqual(frame);
      }),
      { numRuns: 500, seed: 20261123 },
    );
  });
});
