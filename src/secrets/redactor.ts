import { type HeldBack, nothingHeld } from "../model/redaction-point.ts";
import { type Automaton, blockHash } from "./automaton.ts";

/** Takes secrets out of one stream, wherever it is cut. */
export interface Redactor {
  /**
   * The next bytes of the stream; answers those that are sure to hold no part of a secret, or nothing yet. What is held back is the
   * beginning of a pattern and shorter than the longest one. The answer may be `chunk` itself, or a part of it.
   */
  push(chunk: Buffer): Buffer;
  /** The stream has ended: the rest. What was held back was no secret. Afterwards another stream may begin. */
  flush(): Buffer;
  /** Bytes that were taken in, and neither answered nor redacted so far. */
  heldBytes(): number;
  /** The same, for {@link redactor} to go on from elsewhere. */
  held(): HeldBack;
}

export interface RedactorOptions {
  /** Where another one stood, over the same patterns; not there: at a stream's beginning. */
  readonly from?: HeldBack;
  /** Each byte of a secret becomes this one, and no mark is written: what comes out is as long as what went in. */
  readonly fill?: number;
}

/** What stands in a secret's place. */
export const redactionMark = (name: string): string => `[redacted:${name}]`;

/**
 * Matches that overlap are one place: it is redacted from the first one's first byte to the last one's last, under the name of the first
 * (of two that begin together, of the longer). Time is linear in the bytes, memory does not grow with them.
 * @param onRedacted is told of each mark that is written.
 */
export function redactor(
  patterns: Automaton,
  onRedacted: (name: string) => void,
  { from, fill }: RedactorOptions = {},
): Redactor {
  const { depths, edges, fails, matches, vias } = patterns;
  const reader: Reader = { at: 0, state: 0 };
  /** Places to be redacted, in order, apart from each other. Positions count from the chunk's first byte: held bytes are before 0. */
  let places: Place[] = [];

  const found = (pattern: number, end: number): void => {
    const { bytes, name } = patterns.patterns[pattern] ?? nothing;
    let place: Place = { start: end - bytes.length, end, name, isMarked: false };
    for (let last = places.at(-1); last !== undefined && last.end > place.start; last = places.at(-1)) {
      if (last.start < place.start) place = { ...last, end };
      places.pop();
    }
    places.push(place);
  };

  const read = (chunk: Buffer): void => {
    for (reader.at = 0; reader.at < chunk.length; ) {
      readOn(patterns, chunk, reader);
      const match = matches[reader.state] ?? 0;
      if (match === 0) return;
      found(match - 1, reader.at);
      // Nothing is held back behind a match that no longer one begins with.
      if (edges[reader.state] === 0) reader.state = fails[reader.state] ?? 0;
    }
  };

  /** The bytes that a state stands for are those that were read last: nothing held back is kept beside it. */
  const heldText = (at: number): Buffer => {
    const { bytes } = patterns.patterns[vias[at] ?? 0] ?? nothing;
    return bytes.subarray(0, depths[at]);
  };

  /** Everything before `safe`, where whatever is still to be found begins there or later. */
  const release = (held: Buffer, chunk: Buffer, safe: number): Buffer => {
    if (places.length === 0 && held.length === 0) return safe === chunk.length ? chunk : chunk.subarray(0, safe);
    const out: Buffer[] = [];
    let at = -held.length;
    const pass = (end: number): void => {
      if (at < 0 && end > at) out.push(held.subarray(at + held.length, Math.min(end, 0) + held.length));
      if (end > 0 && end > at) out.push(chunk.subarray(Math.max(at, 0), end));
      at = Math.max(at, end);
    };
    const later: Place[] = [];
    for (const place of places) {
      if (place.start >= safe) {
        later.push(place);
        continue;
      }
      pass(place.start);
      if (!place.isMarked) {
        if (fill === undefined) out.push(Buffer.from(redactionMark(place.name)));
        onRedacted(place.name);
      }
      const end = Math.max(at, Math.min(place.end, safe));
      if (fill !== undefined && end > at) out.push(Buffer.alloc(end - at, fill));
      at = end;
      // Its start is gone: all that matters is that it was before whatever comes.
      if (place.end > safe) later.push({ ...place, start: safe - 1, isMarked: true });
    }
    pass(safe);
    const { length } = chunk;
    places = later.map((place) => ({ ...place, start: place.start - length, end: place.end - length }));
    // A copy: what was held back is a part of a pattern, and stays ours.
    return Buffer.concat(out);
  };

  const push = (chunk: Buffer): Buffer => {
    const held = heldText(reader.state);
    read(chunk);
    return release(held, chunk, chunk.length - (depths[reader.state] ?? 0));
  };

  if (from !== undefined && from.bytes > 0) goOn(from);

  /** Reading again what was held back finds again what lies within it; what began before that is noted. */
  function goOn({ pattern, bytes, coveredBytes }: HeldBack): void {
    const { bytes: form, name } = patterns.patterns[pattern] ?? nothing;
    push(Buffer.from(form.subarray(0, bytes)));
    if (coveredBytes === 0) return;
    const end = coveredBytes - bytes;
    places = [{ start: -bytes - 1, end, name, isMarked: true }, ...places.filter((place) => place.start >= end)];
  }

  return {
    push,
    flush() {
      const held = heldText(reader.state);
      reader.state = 0;
      return release(held, empty, 0);
    },
    heldBytes: () => depths[reader.state] ?? 0,
    held() {
      const bytes = depths[reader.state] ?? 0;
      const [first] = places;
      const coveredBytes = first?.isMarked === true ? first.end + bytes : 0;
      return bytes === 0 ? nothingHeld : { pattern: vias[reader.state] ?? 0, bytes, coveredBytes };
    },
  };
}

interface Reader {
  /** The next byte of the chunk. */
  at: number;
  state: number;
}

/** Reads until a pattern has ended or the chunk has. Apart from all else, so that its loop calls nothing: it is what redacting costs. */
function readOn(patterns: Automaton, chunk: Buffer, reader: Reader): void {
  const { depths, edges, rows, fails, matches, skips, windowBytes } = patterns;
  const { length } = chunk;
  const lastWindow = length - windowBytes;
  let { at, state } = reader;
  let depth = depths[state] ?? 0;
  while (at < length) {
    if (depth <= 1) {
      // One byte that begins a pattern is skipped as none is: text that is all such bytes would never come to the start otherwise.
      for (let start = at - depth; start <= lastWindow; start = at) {
        const end = start + windowBytes;
        const skip = skips[blockHash(chunk[end - 3] ?? 0, chunk[end - 2] ?? 0, chunk[end - 1] ?? 0)] ?? 0;
        if (start + skip <= at) break;
        at = start + skip;
        state = 0;
      }
    }
    const byte = chunk[at] ?? 0;
    at += 1;
    let edge = edges[state] ?? 0;
    while (edge >= 0 && (edge & 0xff) !== byte) {
      state = fails[state] ?? 0;
      edge = edges[state] ?? 0;
    }
    if (edge < 0) {
      state = rows[~edge + byte] ?? 0;
      depth = depths[state] ?? 0;
    } else {
      // States of one byte have rows, so this one has more.
      state = edge >> 8;
      depth = 2;
    }
    if (matches[state] !== 0) break;
  }
  reader.at = at;
  reader.state = state;
}

interface Place {
  readonly start: number;
  readonly end: number;
  readonly name: string;
  /** Its mark was written; the place goes on. */
  readonly isMarked: boolean;
}

const empty = Buffer.alloc(0);
const nothing = { name: "", bytes: empty };
