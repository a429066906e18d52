import { crc32 } from "node:zlib";

/** One frame of docs/sandbox-protocol.md, either direction. `seq` 0: unnumbered. */
export interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly seq: number;
  readonly timeUs: number;
  readonly body: Buffer;
}

export const frameType = {
  hello: 0x01,
  input: 0x02,
  start: 0x03,
  stdin: 0x04,
  signal: 0x05,
  collect: 0x06,
  hostAck: 0x07,
  shutdown: 0x08,
  prepare: 0x0a,
  arm: 0x0b,
  rehearse: 0x0c,
  open: 0x10,
  data: 0x11,
  window: 0x12,
  close: 0x13,
  ready: 0x41,
  stdout: 0x42,
  stderr: 0x43,
  progress: 0x44,
  exit: 0x45,
  artifacts: 0x46,
  end: 0x47,
  sandboxAck: 0x48,
  error: 0x49,
  failed: 0x4a,
  started: 0x4c,
  prepared: 0x4d,
} as const;

/** Of a channel: never numbered. */
export const isOfChannel = (type: number): boolean => type >= frameType.open && type <= frameType.close;

export const frameMark = 0xf5;
export const headerBytes = 24;
export const trailerBytes = 4;
/** The longest body; a longer one breaks the stream. */
export const maxBodyBytes = 262_144;

/** Header, body and checksum, as pieces so that a large body is not copied. */
export function encodeFrame(frame: Frame): readonly [Buffer, Buffer, Buffer] {
  const header = Buffer.allocUnsafe(headerBytes);
  header[0] = frameMark;
  header[1] = frame.type;
  header.writeUInt16BE(frame.channel, 2);
  header.writeUInt32BE(frame.body.length, 4);
  writeSafe64(header, frame.seq, 8);
  writeSafe64(header, frame.timeUs, 16);
  const trailer = Buffer.allocUnsafe(trailerBytes);
  trailer.writeUInt32BE(crc32(frame.body, crc32(header)), 0);
  return [header, frame.body, trailer];
}

/** The number of `offset`'s eight bytes, or null for one beyond 2^53, which no honest peer counts to. */
export function readSafe64(buffer: Buffer, offset: number): number | null {
  const high = buffer.readUInt32BE(offset);
  return high > 0x1f_ffff ? null : high * 0x1_0000_0000 + buffer.readUInt32BE(offset + 4);
}

function writeSafe64(buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset);
  buffer.writeUInt32BE(value % 0x1_0000_0000, offset + 4);
}

/** The body of an `ack`. */
export function ackBody(seq: number): Buffer {
  const body = Buffer.allocUnsafe(8);
  writeSafe64(body, seq, 0);
  return body;
}

/** The token of a first attach, when the sandbox has not yet named its own. */
export const noToken = "0".repeat(32);

/** The 74 bytes every attach begins with. Token and nonce: 32 hex digits. */
export const magicLine = (token: string, nonce: string): Buffer =>
  Buffer.from(`\nTOOLX1 ${token} ${nonce}\n`, "latin1");
