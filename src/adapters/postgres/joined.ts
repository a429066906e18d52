/** Bytes of many rows as one parameter, and where each stands in it: an array of them would travel as text, twice as long. */
export interface Joined {
  readonly bytes: Buffer;
  /** As `substr` counts: from 1. */
  readonly starts: readonly number[];
  readonly lengths: readonly number[];
}

export function joined(pieces: readonly Buffer[]): Joined {
  const starts: number[] = [];
  let at = 1;
  for (const piece of pieces) {
    starts.push(at);
    at += piece.length;
  }
  const [only] = pieces;
  const bytes = only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
  return { bytes, starts, lengths: pieces.map(({ length }) => length) };
}
