/** A tar that no honest writer makes, block by block. */
export interface HeaderFields {
  readonly name?: string | Buffer;
  readonly type?: string;
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly linkname?: string;
  readonly magic?: string;
  readonly uname?: string;
  /** Added to the right checksum. */
  readonly checksumOff?: number;
  /** The size's twelve bytes as they are. */
  readonly rawSize?: Buffer;
}

const blockBytes = 512;

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;

export function tarHeader(fields: HeaderFields = {}): Buffer {
  const { name = "a", type = "0", size = 0, mode = 0o644, uid = 0, linkname = "", magic = "ustar\x0000" } = fields;
  const block = Buffer.alloc(blockBytes);
  Buffer.from(name).copy(block, 0, 0, 100);
  block.write(octal(mode, 7), 100, "latin1");
  block.write(octal(uid, 7), 108, "latin1");
  block.write(octal(uid, 7), 116, "latin1");
  block.write(octal(size, 11), 124, "latin1");
  fields.rawSize?.copy(block, 124);
  block.write(octal(0, 11), 136, "latin1");
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write(linkname, 157, "latin1");
  block.write(magic, 257, "latin1");
  block.write(fields.uname ?? "", 265, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0) + (fields.checksumOff ?? 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

export function padded(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([bytes, Buffer.alloc((blockBytes - (bytes.length % blockBytes)) % blockBytes)]);
}

/** An entry with its content. */
export const tarEntry = (name: string | Buffer, content: string | Buffer = "", more: HeaderFields = {}): Buffer =>
  Buffer.concat([tarHeader({ name, size: Buffer.from(content).length, ...more }), padded(content)]);

/** One `LENGTH KEY=VALUE` record. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

/** An extended header of these records; `g` is one for the whole archive. */
export const paxHeader = (records: Buffer, type: "x" | "g" = "x"): Buffer =>
  tarEntry("PaxHeaders/a", records, { type });

export const endOfTar: Buffer = Buffer.alloc(2 * blockBytes);

export const wholeTar = (...pieces: readonly Buffer[]): Buffer => Buffer.concat([...pieces, endOfTar]);
