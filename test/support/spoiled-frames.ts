import {
  frameMark,
  headerBytes,
  magicLine,
  maxBodyBytes,
  noToken,
  trailerBytes,
} from "../../src/adapters/docker/protocol/frame.ts";

/** What can be done to the stream between the executor and sandbox-init. */
export type Fault =
  | "half a frame"
  | "a huge length"
  | "a length beyond its end"
  | "garbage"
  | "a flipped bit"
  | "a repeated frame"
  | "a skipped frame";

export const faults: readonly Fault[] = [
  "half a frame",
  "a huge length",
  "a length beyond its end",
  "garbage",
  "a flipped bit",
  "a repeated frame",
  "a skipped frame",
];

/** What is passed on in place of what came; `cut`: the connection breaks off behind it. */
export interface Spoiled {
  readonly bytes: Buffer;
  readonly cut: boolean;
}

/** Decides after every frame whether something happens to it; the numbers are of this direction alone. */
export type FaultPlan = (passedBytes: number) => Fault | null;

const magicBytes = magicLine(noToken, noToken).length;

/** Takes one direction of one attach apart into frames and spoils those the plan names. */
export function spoiledFrames(plan: FaultPlan, random: () => number): (chunk: Buffer) => Spoiled {
  let pieces: Buffer[] = [];
  let held = 0;
  let needed = headerBytes;
  let passed = 0;
  return (chunk) => {
    pieces.push(chunk);
    held += chunk.length;
    if (held < needed) return { bytes: Buffer.alloc(0), cut: false };
    let rest: Buffer<ArrayBufferLike> = Buffer.concat(pieces);
    const out: Buffer[] = [];
    for (;;) {
      needed = rest.length < headerBytes ? headerBytes : unitLength(rest);
      if (rest.length < needed) break;
      const unit = rest.subarray(0, needed);
      rest = rest.subarray(needed);
      passed += unit.length;
      const fault = isNumbered(unit) ? plan(passed) : null;
      const { bytes, cut } = fault === null ? { bytes: unit, cut: false } : spoil(unit, fault, random);
      out.push(bytes);
      if (cut) return { bytes: Buffer.concat(out), cut };
    }
    pieces = [rest];
    held = rest.length;
    return { bytes: Buffer.concat(out), cut: false };
  };
}

/** Of a frame, or of the magic line an attach begins with. */
function unitLength(bytes: Buffer): number {
  return bytes[0] === frameMark ? headerBytes + bytes.readUInt32BE(4) + trailerBytes : magicBytes;
}

const isNumbered = (unit: Buffer): boolean => unit[0] === frameMark && unit.readBigUInt64BE(8) > 0n;

function spoil(unit: Buffer, fault: Fault, random: () => number): Spoiled {
  const at = Math.floor(random() * unit.length);
  switch (fault) {
    case "half a frame":
      return { bytes: unit.subarray(0, at), cut: true };
    case "a huge length":
      unit.writeUInt32BE(0xffff_fff0, 4);
      return { bytes: unit, cut: false };
    case "a length beyond its end":
      unit.writeUInt32BE(maxBodyBytes, 4);
      return { bytes: unit, cut: false };
    case "garbage":
      return { bytes: Buffer.concat([Buffer.from(`\nTOOLX1 ${at} no frame at all\n`), unit]), cut: false };
    case "a flipped bit":
      unit.writeUInt8(unit.readUInt8(at) ^ (1 << Math.floor(random() * 8)), at);
      return { bytes: unit, cut: false };
    case "a repeated frame":
      return { bytes: Buffer.concat([unit, unit]), cut: false };
    case "a skipped frame":
      return { bytes: Buffer.alloc(0), cut: false };
  }
}
