import { openAtEnd, openAtStart, utf8 } from "./utf8.ts";

/** The first and the last bytes of a stream, and how many there were in all. */
export interface HeadTail {
  add(bytes: Buffer): void;
  /** Bytes that are not to be had any more, after those added so far; 0: how many is told by a later call. */
  skip(bytes: number): void;
  /** Everything that was added or skipped, kept or not. */
  totalBytes(): number;
  /** As a result carries it: text where the bytes are UTF-8, base64 otherwise; a line in the middle counts what is left out. */
  text(): { readonly text: string; readonly encoding: "utf-8" | "base64" };
}

/** Keeps at most `capBytes`, half from each end. */
export function headTail(capBytes: number): HeadTail {
  const headCap = Math.ceil(capBytes / 2);
  const tailCap = capBytes - headCap;
  const head: Buffer[] = [];
  let headBytes = 0;
  // Twice as large as what is kept, and made when there is something: a flood allocates nothing further.
  let tail = Buffer.alloc(0);
  let tailEnd = 0;
  let total = 0;
  let isHeadOver = false;

  const addTail = (bytes: Buffer): void => {
    const last = bytes.subarray(Math.max(0, bytes.length - tailCap));
    if (tail.length === 0) tail = Buffer.allocUnsafeSlow(2 * tailCap);
    if (tailEnd + last.length > tail.length) {
      const stays = Math.min(tailEnd, tailCap - last.length);
      tail.copyWithin(0, tailEnd - stays, tailEnd);
      tailEnd = stays;
    }
    last.copy(tail, tailEnd);
    tailEnd += last.length;
  };

  return {
    add(bytes) {
      total += bytes.length;
      const room = isHeadOver ? 0 : headCap - headBytes;
      if (room > 0) {
        head.push(Buffer.from(bytes.subarray(0, room)));
        headBytes += Math.min(room, bytes.length);
      }
      if (bytes.length > room) addTail(room > 0 ? bytes.subarray(room) : bytes);
    },
    skip(bytes) {
      total += bytes;
      isHeadOver = true;
    },
    totalBytes: () => total,
    text() {
      const first = Buffer.concat(head);
      const last = tail.subarray(Math.max(0, tailEnd - tailCap), tailEnd);
      const leftOut = total - first.length - last.length;
      if (leftOut <= 0) return encoded(Buffer.concat([first, last]), null, Buffer.alloc(0));
      return encoded(first, leftOut, last);
    },
  };
}

function encoded(first: Buffer, leftOut: number | null, last: Buffer): ReturnType<HeadTail["text"]> {
  if (leftOut === null) {
    const text = utf8(first);
    return text === null ? { text: first.toString("base64"), encoding: "base64" } : { text, encoding: "utf-8" };
  }
  const start = first.subarray(0, first.length - openAtEnd(first));
  const end = last.subarray(openAtStart(last));
  const startText = utf8(start);
  const endText = utf8(end);
  if (startText !== null && endText !== null) {
    const missing = leftOut + (first.length - start.length) + (last.length - end.length);
    return { text: `${startText}${marker(missing)}${endText}`, encoding: "utf-8" };
  }
  return {
    text: Buffer.concat([first, Buffer.from(marker(leftOut)), last]).toString("base64"),
    encoding: "base64",
  };
}

const marker = (bytes: number): string => `\n[… ${bytes} bytes left out …]\n`;
