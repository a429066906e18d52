/** Cuts what a task writes into lines. A last line without an end is kept until it gets one, or is asked for. */
export interface LineSplitter {
  /** The lines that `bytes` complete, without their ends. The bytes are good for the time of the call only. */
  split(bytes: Buffer): readonly Buffer[];
  /** How much is kept. */
  keptBytes(): number;
  /** What is kept, and no more is: all of it, or up to the last whole character while one may still be completed. */
  rest(mayGoOn: boolean): Buffer;
}

/** @param maxLineBytes a longer line is cut into several. */
export function lineSplitter(maxLineBytes: number): LineSplitter {
  let kept: Buffer = Buffer.alloc(0);
  return {
    split(bytes) {
      const all = kept.byteLength === 0 ? bytes : Buffer.concat([kept, bytes]);
      const lines: Buffer[] = [];
      let at = 0;
      for (let end = all.indexOf(10); end !== -1; end = all.indexOf(10, at)) {
        for (; end - at > maxLineBytes; at += lines.at(-1)?.byteLength ?? 0) lines.push(cutAt(all, at, maxLineBytes));
        lines.push(all.subarray(at, end));
        at = end + 1;
      }
      for (; all.byteLength - at > maxLineBytes; at += lines.at(-1)?.byteLength ?? 0) {
        lines.push(cutAt(all, at, maxLineBytes));
      }
      kept = Buffer.from(all.subarray(at));
      return lines;
    },
    keptBytes: () => kept.byteLength,
    rest(mayGoOn) {
      const end = (mayGoOn && wholeLength(kept)) || kept.byteLength;
      const rest = kept.subarray(0, end);
      kept = kept.subarray(end);
      return rest;
    },
  };
}

/** At most `maxBytes` from `at`, no character cut in two. */
function cutAt(bytes: Buffer, at: number, maxBytes: number): Buffer {
  const piece = bytes.subarray(at, at + maxBytes);
  return piece.subarray(0, wholeLength(piece) || maxBytes);
}

/** Without the beginning of a UTF-8 character at the end. */
function wholeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.byteLength); back++) {
    const byte = bytes[bytes.byteLength - back] ?? 0;
    if (byte >= 0xc0) {
      const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needs > back ? bytes.byteLength - back : bytes.byteLength;
    }
    if (byte < 0x80) break;
  }
  return bytes.byteLength;
}
