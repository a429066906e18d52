import { ExecutorError } from "../model/failure.ts";

const blockBytes = 512;
/** A PAX header of a path of 4096 bytes fits many times over. */
const maxPaxBytes = 65_536;

/** One entry of the artifacts tar, found while it passed by. */
export interface TarEntry {
  readonly kind: "file" | "directory";
  /** The name's exact bytes; mostly UTF-8, always relative, never with `..`. */
  readonly path: Buffer;
  readonly sizeBytes: number;
  /** Where the content starts in the tar. */
  readonly offset: number;
}

export interface TarSink {
  /** A new entry; the content that follows, if any, belongs to it. */
  entry(entry: TarEntry): void;
  content(bytes: Buffer): void;
  /** The current entry's content is whole. */
  done(): void;
}

export interface TarScan {
  /** @throws ExecutorError sandbox, at the first byte that no sandbox-init would write. */
  push(chunk: Buffer): void;
  /** @throws ExecutorError sandbox, when the archive is cut short. */
  finish(): void;
}

/** What an archive may hold at most; what sandbox-init was asked for. */
export interface TarCaps {
  readonly maxBytes: number;
  readonly maxEntries: number;
}

/**
 * Reads the narrow kind of tar that sandbox-init writes: plain files and directories of root's, PAX names and sizes. Everything else is
 * refused: what comes out of a sandbox is hostile until it is shown to be plain, and whoever unpacks it later may understand more of tar
 * than is read here. Memory is bounded whatever comes, and so is what is let through.
 */
export function tarScan(sink: TarSink, caps: TarCaps): TarScan {
  let block: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let position = 0;
  let contentLeft = 0;
  let paddingLeft = 0;
  let paxLeft = 0;
  let pax: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let extended: Extended | null = null;
  let zeroBlocks = 0;
  let entryCount = 0;
  let fileBytes = 0;

  const header = (bytes: Buffer): void => {
    if (zeroBlocks === 2) throw refused(position, "bytes after the end");
    if (bytes.every((byte) => byte === 0)) {
      if (extended !== null) throw refused(position, "an extended header of nothing");
      zeroBlocks += 1;
      return;
    }
    if (zeroBlocks > 0) throw refused(position, "an entry after the end");
    checkSum(bytes, position);
    if (bytes.toString("latin1", 257, 265) !== "ustar\x0000")
      throw refused(position, "a header of another kind of tar");
    const type = String.fromCharCode(bytes[156] ?? 0);
    const ownSize = octal(bytes.subarray(124, 136), position);
    if (type === "x") {
      if (extended !== null) throw refused(position, "an extended header of an extended header");
      if (ownSize === 0 || ownSize > maxPaxBytes)
        throw refused(position, `a PAX header of ${ownSize} bytes, at most ${maxPaxBytes}`);
      paxLeft = ownSize;
      paddingLeft = padding(ownSize);
      pax = Buffer.alloc(0);
      return;
    }
    if (type !== "0" && type !== "5") throw refused(position, `an entry of type ${JSON.stringify(type)}`);
    checkOwner(bytes, type, position);
    const path = safePath(extended?.path ?? ustarName(bytes), type, position);
    const sizeBytes = extended?.sizeBytes ?? ownSize;
    if (type === "5" && sizeBytes > 0) throw refused(position, `a folder of ${sizeBytes} bytes`);
    entryCount += 1;
    fileBytes += sizeBytes;
    if (entryCount > caps.maxEntries) throw refused(position, `more than ${caps.maxEntries} entries`);
    if (fileBytes > caps.maxBytes) throw refused(position, `files of more than ${caps.maxBytes} bytes`);
    extended = null;
    contentLeft = sizeBytes;
    paddingLeft = padding(sizeBytes);
    sink.entry({ kind: type === "5" ? "directory" : "file", path, sizeBytes, offset: position + blockBytes });
    if (sizeBytes === 0) sink.done();
  };

  return {
    push(chunk) {
      let rest = chunk;
      while (rest.length > 0) {
        if (contentLeft > 0) {
          const part = rest.subarray(0, contentLeft);
          sink.content(part);
          contentLeft -= part.length;
          position += part.length;
          rest = rest.subarray(part.length);
          if (contentLeft === 0) sink.done();
        } else if (paxLeft > 0) {
          const part = rest.subarray(0, paxLeft);
          pax = Buffer.concat([pax, part]);
          paxLeft -= part.length;
          position += part.length;
          rest = rest.subarray(part.length);
          if (paxLeft === 0) extended = paxRecords(pax, position);
        } else if (paddingLeft > 0) {
          const part = rest.subarray(0, paddingLeft);
          paddingLeft -= part.length;
          position += part.length;
          rest = rest.subarray(part.length);
        } else {
          const part = rest.subarray(0, blockBytes - block.length);
          // What waits for its rest is copied: the chunk's memory is used again.
          block = part.length === blockBytes ? part : Buffer.concat([block, part]);
          rest = rest.subarray(part.length);
          if (block.length < blockBytes) return;
          const whole = block;
          block = Buffer.alloc(0);
          header(whole);
          position += blockBytes;
        }
      }
    },
    finish() {
      if (contentLeft > 0 || paxLeft > 0 || paddingLeft > 0 || block.length > 0 || zeroBlocks < 2)
        throw refused(position, "the archive ends too early");
    },
  };
}

const padding = (sizeBytes: number): number => (blockBytes - (sizeBytes % blockBytes)) % blockBytes;

function checkSum(bytes: Buffer, position: number): void {
  let sum = 0;
  for (let at = 0; at < blockBytes; at += 1) sum += at >= 148 && at < 156 ? 0x20 : (bytes[at] ?? 0);
  if (sum !== octal(bytes.subarray(148, 156), position)) throw refused(position, "a header with a wrong checksum");
}

function octal(field: Buffer, position: number): number {
  const text = field.toString("latin1").replace(/[\0 ]+$/, "");
  if (!/^ *[0-7]*$/.test(text)) throw refused(position, "a number that is not octal");
  return Number.parseInt(text.trim() || "0", 8);
}

const upToNul = (bytes: Buffer): Buffer => {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
};

/** SAFETY: the archive is root's when root unpacks it, so it may hold no program that changes its user, and no name of an owner. */
function checkOwner(bytes: Buffer, type: string, position: number): void {
  const mode = octal(bytes.subarray(100, 108), position);
  const isPlain = mode === 0o755 || (mode === 0o644 && type === "0");
  if (!isPlain) throw refused(position, `an entry of mode ${mode.toString(8)}`);
  const ids = [bytes.subarray(108, 116), bytes.subarray(116, 124)];
  const names = [bytes.subarray(265, 297), bytes.subarray(297, 329)];
  if (ids.some((id) => octal(id, position) !== 0) || names.some((name) => upToNul(name).length > 0))
    throw refused(position, "an entry with an owner");
}

function ustarName(bytes: Buffer): Buffer {
  const name = upToNul(bytes.subarray(0, 100));
  const prefix = upToNul(bytes.subarray(345, 500));
  return prefix.length > 0 ? Buffer.concat([prefix, Buffer.from("/"), name]) : Buffer.from(name);
}

/** A folder's name may end with a slash. */
function safePath(path: Buffer, type: string, position: number): Buffer {
  const trimmed = type === "5" && path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
  const parts = trimmed.toString("latin1").split("/");
  const plain = parts.every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0"));
  if (!plain) throw refused(position, "a name that is not plainly relative");
  return Buffer.from(trimmed);
}

interface Extended {
  path?: Buffer;
  sizeBytes?: number;
}

/** `LENGTH KEY=VALUE\n` records: `path` and `size`, once each. Others would say things to whoever unpacks that nobody looked at here. */
function paxRecords(bytes: Buffer, position: number): Extended {
  const found: Extended = {};
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : bytes.toString("latin1", at, space);
    const length = Number(digits);
    const end = at + length;
    if (!/^[1-9]\d{0,5}$/.test(digits) || end > bytes.length || end <= space + 1 || bytes[end - 1] !== 0x0a)
      throw refused(position, "a broken PAX record");
    const record = bytes.subarray(space + 1, end - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 1) throw refused(position, "a broken PAX record");
    const key = record.toString("latin1", 0, equals);
    const value = record.subarray(equals + 1);
    if (key === "path" && found.path === undefined) found.path = Buffer.from(value);
    else if (key === "size" && found.sizeBytes === undefined) {
      const text = value.toString("latin1");
      if (!/^\d{1,15}$/.test(text)) throw refused(position, "a PAX size that is no number");
      found.sizeBytes = Number(text);
    } else throw refused(position, `a PAX record ${JSON.stringify(key.slice(0, 100))}, or a second one`);
    at = end;
  }
  return found;
}

const refused = (position: number, what: string): ExecutorError =>
  new ExecutorError("sandbox", `artifacts: ${what}, at byte ${position} of the tar`);
