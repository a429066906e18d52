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

/**
 * Reads the narrow kind of tar that sandbox-init writes: plain files, directories, PAX names and sizes. Everything else is refused:
 * what comes out of a sandbox is hostile until it is shown to be plain.
 */
export function tarScan(sink: TarSink): TarScan {
  let block: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let position = 0;
  let contentLeft = 0;
  let paddingLeft = 0;
  let paxLeft = 0;
  let pax: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let extended: { readonly path?: Buffer; readonly sizeBytes?: number } = {};
  let zeroBlocks = 0;

  const header = (bytes: Buffer): void => {
    if (bytes.every((byte) => byte === 0)) {
      zeroBlocks += 1;
      return;
    }
    if (zeroBlocks > 0) throw refused(position, "an entry after the end");
    checkSum(bytes, position);
    const type = String.fromCharCode(bytes[156] ?? 0);
    const ownSize = octal(bytes.subarray(124, 136), position);
    if (type === "x") {
      if (ownSize > maxPaxBytes) throw refused(position, `a PAX header of ${ownSize} bytes, at most ${maxPaxBytes}`);
      paxLeft = ownSize;
      paddingLeft = padding(ownSize);
      pax = Buffer.alloc(0);
      return;
    }
    if (type !== "0" && type !== "5") throw refused(position, `an entry of type ${JSON.stringify(type)}`);
    const path = safePath(extended.path ?? ustarName(bytes), position);
    const sizeBytes = type === "5" ? 0 : (extended.sizeBytes ?? ownSize);
    extended = {};
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
          block = block.length === 0 ? part : Buffer.concat([block, part]);
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

function ustarName(bytes: Buffer): Buffer {
  const name = upToNul(bytes.subarray(0, 100));
  const prefix = upToNul(bytes.subarray(345, 500));
  return prefix.length > 0 ? Buffer.concat([prefix, Buffer.from("/"), name]) : Buffer.from(name);
}

function safePath(path: Buffer, position: number): Buffer {
  const trimmed = path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
  const parts = trimmed.toString("latin1").split("/");
  const plain = parts.every((part) => part !== "" && part !== "." && part !== ".." && !part.includes("\0"));
  if (!plain) throw refused(position, "a name that is not plainly relative");
  return Buffer.from(trimmed);
}

/** `LENGTH KEY=VALUE\n` records; only `path` and `size` are known, others are left alone. */
function paxRecords(bytes: Buffer, position: number): { path?: Buffer; sizeBytes?: number } {
  const found: { path?: Buffer; sizeBytes?: number } = {};
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
    if (key === "path") found.path = Buffer.from(value);
    if (key === "size") {
      const text = value.toString("latin1");
      if (!/^\d{1,15}$/.test(text)) throw refused(position, "a PAX size that is no number");
      found.sizeBytes = Number(text);
    }
    at = end;
  }
  return found;
}

const refused = (position: number, what: string): ExecutorError =>
  new ExecutorError("sandbox", `artifacts: ${what}, at byte ${position} of the tar`);
