/** What is known of a TLS ClientHello so far. */
export type Hello =
  | { readonly kind: "more" }
  /** `serverName` as it stands there: `hostOf` reads it. */
  | { readonly kind: "whole"; readonly serverName: string }
  | { readonly kind: "refused"; readonly why: string };

export interface HelloReader {
  /** Takes the next bytes. After `whole` or `refused` there is nothing more to ask. */
  push(bytes: Uint8Array): Hello;
  /** Every byte it was given, to be sent on once the name is judged. */
  taken(): Buffer;
}

/** A client's first flight is far shorter, keys against quantum computers and old tickets included. */
export const maxHelloBytes = 32 * 1024;

/**
 * Reads the server's name out of the first message of a TLS connection, however it arrives. It is strict: what is no plain hello with exactly
 * one name is refused. The work is linear in the bytes, and no more than {@link maxHelloBytes} are kept.
 */
export function helloReader(): HelloReader {
  let raw: Buffer = Buffer.alloc(commonHelloBytes);
  let filled = 0;
  /** Where the next record begins. */
  let at = 0;
  let message: Buffer = Buffer.alloc(commonHelloBytes);
  let messageBytes = 0;
  return {
    push(bytes) {
      if (filled + bytes.length > maxHelloBytes) return refused(`its hello is longer than ${maxHelloBytes} bytes`);
      raw = withRoom(raw, filled + bytes.length);
      raw.set(bytes, filled);
      filled += bytes.length;
      if (at === 0 && filled > 0 && raw[0] !== handshakeRecord)
        return refused("it does not begin with a TLS handshake");
      while (filled - at >= recordHeaderBytes) {
        const length = raw.readUInt16BE(at + 3);
        if (raw[at] !== handshakeRecord || raw[at + 1] !== 3)
          return refused("its hello is broken off by another record");
        if (length === 0 || length > maxRecordBytes) return refused("its hello has a record of no or too great length");
        const end = at + recordHeaderBytes + length;
        if (end > maxHelloBytes) return refused(`its hello is longer than ${maxHelloBytes} bytes`);
        if (filled < end) break;
        message = withRoom(message, messageBytes + length);
        messageBytes += raw.copy(message, messageBytes, at + recordHeaderBytes, end);
        at = end;
        if (message[0] !== clientHello) return refused("its first message is no client hello");
        const wanted = messageBytes < 4 ? Number.POSITIVE_INFINITY : 4 + message.readUIntBE(1, 3);
        if (messageBytes > wanted) return refused("something else stands behind its hello");
        if (messageBytes === wanted) return nameIn(message.subarray(4, wanted));
      }
      return { kind: "more" };
    },
    taken: () => Buffer.from(raw.subarray(0, filled)),
  };
}

/** Most are no longer, and each connection has a reader. */
const commonHelloBytes = 4096;

/** The same bytes, with room for so many, at the most {@link maxHelloBytes}. It doubles, so that the work stays linear. */
function withRoom(bytes: Buffer, wanted: number): Buffer {
  if (wanted <= bytes.length) return bytes;
  const larger = Buffer.alloc(Math.min(Math.max(wanted, 2 * bytes.length), maxHelloBytes));
  bytes.copy(larger);
  return larger;
}

const handshakeRecord = 22;
const recordHeaderBytes = 5;
const maxRecordBytes = 16 * 1024;
const clientHello = 1;
const serverNameExtension = 0;
const hostNameType = 0;

const refused = (why: string): Hello => ({ kind: "refused", why });

function nameIn(hello: Buffer): Hello {
  const body = cursor(hello);
  // Version and random, session, ciphers, compression.
  body.skip(2 + 32);
  body.vector(1);
  body.vector(2);
  body.vector(1);
  if (body.isOver()) return refused("its hello names no server");
  const extensions = cursor(body.vector(2));
  const seen = new Set<number>();
  let names: Buffer | null = null;
  while (!extensions.isOver() && !extensions.isShort()) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (seen.has(type)) return refused("its hello says a thing twice");
    seen.add(type);
    if (type === serverNameExtension) names = content;
  }
  if (!body.isOver() || body.isShort() || extensions.isShort()) return refused("its hello is malformed");
  return names === null ? refused("its hello names no server") : onlyName(names);
}

function onlyName(extension: Buffer): Hello {
  const outer = cursor(extension);
  const list = cursor(outer.vector(2));
  const type = list.number(1);
  const name = list.vector(2);
  const isWhole = outer.isOver() && !outer.isShort() && list.isOver() && !list.isShort();
  if (!isWhole || type !== hostNameType || name.length === 0) return refused("its hello names not exactly one server");
  return { kind: "whole", serverName: name.toString("latin1") };
}

/** Reads forward; what is asked for beyond the end is zero or empty, and remembered. */
function cursor(bytes: Buffer) {
  let at = 0;
  let short = false;
  const has = (count: number): boolean => {
    if (bytes.length - at < count) short = true;
    return !short;
  };
  const number = (count: number): number => {
    if (!has(count)) return 0;
    at += count;
    return bytes.readUIntBE(at - count, count);
  };
  return {
    number,
    skip(count: number): void {
      if (has(count)) at += count;
    },
    /** What stands behind a length of so many bytes. */
    vector(lengthBytes: number): Buffer {
      const length = number(lengthBytes);
      if (!has(length)) return Buffer.alloc(0);
      at += length;
      return bytes.subarray(at - length, at);
    },
    isOver: () => at === bytes.length,
    isShort: () => short,
  };
}
