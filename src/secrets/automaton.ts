/** One thing to be looked for, and whose it is. */
export interface Pattern {
  readonly name: string;
  /** At least {@link blockBytes}. */
  readonly bytes: Buffer;
}

/**
 * Many patterns as one machine (Aho–Corasick). A state is a number, the start is 0; it stands for the longest end of what was read that
 * begins a pattern. Never changed once it is made, so any number of streams may share it.
 */
export interface Automaton {
  readonly patterns: readonly Pattern[];
  /**
   * Of each state, where it leads. From 256: by one byte only, the last 8 bits, to the state in the others. Below 0: by every byte; the
   * complement is the offset of its row. 0: nowhere, a pattern ends here and no longer one goes on.
   */
  readonly edges: Int32Array;
  /** Where each of the 256 bytes leads, for states with a row. */
  readonly rows: Int32Array;
  /** The state to go on from where an edge does not fit, and at once where there is none: of the longest proper end that leads anywhere. */
  readonly fails: Int32Array;
  /** The longest pattern that ends in a state, as its place in `patterns` + 1; 0: none does. */
  readonly matches: Int32Array;
  /** How many bytes a state stands for: so many are the first ones of the pattern `vias` names. */
  readonly depths: Int32Array;
  readonly vias: Int32Array;
  /** By the hash of a block: how many places from a window's first on begin no pattern, when the window ends with that block. */
  readonly skips: Uint8Array;
  readonly windowBytes: number;
}

export const blockBytes = 3;
const hashCount = 1 << 16;
/** A longer window skips further, but more often ends with a block that some pattern has. */
const maxWindowBytes = 16;
const rowLength = 256;
/** States of no more bytes have a row, however few their edges: most text leads to these and no further. */
const maxRowDepth = 1;

export const blockHash = (first: number, second: number, third: number): number =>
  ((first << 10) ^ (second << 5) ^ third) & (hashCount - 1);

/** Where several patterns are the same bytes, the first one's name counts. @param patterns at least one, of less than 8 million bytes in all. */
export function automaton(patterns: readonly Pattern[]): Automaton {
  const windowBytes = Math.min(maxWindowBytes, ...patterns.map(({ bytes }) => bytes.length));
  return { patterns, ...linked(trieOf(patterns)), skips: skipsOf(patterns, windowBytes), windowBytes };
}

/** All patterns as paths from the start. */
interface Trie extends Pick<Automaton, "matches" | "depths" | "vias"> {
  /** The first child, and the next one of the same parent; 0: none. */
  readonly children: Int32Array;
  readonly siblings: Int32Array;
  /** That leads to a state from its parent. */
  readonly bytes: Uint8Array;
}

function trieOf(patterns: readonly Pattern[]): Trie {
  const maxStates = patterns.reduce((sum, { bytes }) => sum + bytes.length, 1);
  const numbers = (): Int32Array => new Int32Array(maxStates);
  const [children, siblings, matches, depths, vias] = [numbers(), numbers(), numbers(), numbers(), numbers()];
  const bytes = new Uint8Array(maxStates);
  let count = 1;
  for (const [index, pattern] of patterns.entries()) {
    let state = 0;
    for (const byte of pattern.bytes) {
      let child = children[state] ?? 0;
      while (child !== 0 && bytes[child] !== byte) child = siblings[child] ?? 0;
      if (child === 0) {
        child = count;
        count += 1;
        siblings[child] = children[state] ?? 0;
        children[state] = child;
        bytes[child] = byte;
        depths[child] = (depths[state] ?? 0) + 1;
        vias[child] = index;
      }
      state = child;
    }
    matches[state] ||= index + 1;
  }
  return {
    ...{ children: children.slice(0, count), siblings: siblings.slice(0, count), bytes: bytes.slice(0, count) },
    ...{ matches: matches.slice(0, count), depths: depths.slice(0, count), vias: vias.slice(0, count) },
  };
}

/** Edges, rows and failures: breadth first, so that what a state falls back to is complete before it. */
function linked({
  children,
  siblings,
  bytes,
  matches,
  depths,
  vias,
}: Trie): Omit<Automaton, "patterns" | "skips" | "windowBytes"> {
  const edges = new Int32Array(children.length);
  const fails = new Int32Array(children.length);
  const queue = new Int32Array(children.length);
  const rows: Int32Array[] = [];
  const next = (from: number, byte: number): number => {
    for (let state = from; ; state = fails[state] ?? 0) {
      const edge = edges[state] ?? 0;
      if (edge < 0) return rows[~edge / rowLength]?.[byte] ?? 0;
      if ((edge & 0xff) === byte) return edge >> 8;
    }
  };
  let queued = 1;
  for (let at = 0; at < queued; at += 1) {
    const state = queue[at] ?? 0;
    const elsewhere = (byte: number): number => (state === 0 ? 0 : next(fails[state] ?? 0, byte));
    const all = childrenOf(state, children, siblings);
    const [first = 0, ...others] = all;
    for (const child of all) {
      const back = elsewhere(bytes[child] ?? 0);
      fails[child] = (children[back] === 0 ? fails[back] : back) ?? 0;
      // A shorter pattern that ends in the same place lies within the longer one.
      matches[child] ||= matches[back] ?? 0;
      queue[queued] = child;
      queued += 1;
    }
    if ((depths[state] ?? 0) > maxRowDepth && others.length === 0) {
      edges[state] = first === 0 ? 0 : (first << 8) | (bytes[first] ?? 0);
      continue;
    }
    const row = Int32Array.from({ length: rowLength }, (_, byte) => elsewhere(byte));
    for (const child of all) row[bytes[child] ?? 0] = child;
    edges[state] = ~(rows.length * rowLength);
    rows.push(row);
  }
  const allRows = new Int32Array(rows.length * rowLength);
  for (const [index, row] of rows.entries()) allRows.set(row, index * rowLength);
  return { edges, rows: allRows, fails, matches, depths, vias };
}

function childrenOf(state: number, children: Int32Array, siblings: Int32Array): readonly number[] {
  const all: number[] = [];
  for (let child = children[state] ?? 0; child !== 0; child = siblings[child] ?? 0) all.push(child);
  return all;
}

/** Of each block: the shortest way from where a pattern has it, within its first bytes, to the window's end (Wu–Manber). */
function skipsOf(patterns: readonly Pattern[], windowBytes: number): Uint8Array {
  const last = windowBytes - blockBytes;
  const skips = new Uint8Array(hashCount).fill(last + 1);
  for (const { bytes } of patterns)
    for (let at = 0; at <= last; at += 1) {
      const hash = blockHash(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0);
      skips[hash] = Math.min(skips[hash] ?? 0, last - at);
    }
  return skips;
}
