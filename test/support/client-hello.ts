/** Extensions by type, in their order; a type may stand twice. */
export type Extensions = readonly (readonly [type: number, content: Buffer])[];

const vector = (lengthBytes: number, content: Buffer): Buffer => {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
};

/** The content of the extension that names servers. */
export const serverNames = (...names: readonly (string | readonly [type: number, name: string])[]): Buffer =>
  vector(
    2,
    Buffer.concat(
      names.map((each) => {
        const [type, name] = typeof each === "string" ? [0, each] : each;
        return Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name, "latin1"))]);
      }),
    ),
  );

/** A ClientHello as a handshake message, with no record around it. */
export function helloMessage(extensions: Extensions | null): Buffer {
  const all = extensions?.map(([type, content]) =>
    Buffer.concat([Buffer.from([type >> 8, type & 0xff]), vector(2, content)]),
  );
  const body = Buffer.concat([
    ...[Buffer.from([3, 3]), Buffer.alloc(32, 7), vector(1, Buffer.alloc(32, 9))],
    ...[vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02])), vector(1, Buffer.from([0]))],
    ...(all === undefined ? [] : [vector(2, Buffer.concat(all))]),
  ]);
  return Buffer.concat([Buffer.from([1]), vector(3, body)]);
}

/** A message in records of at most so many bytes each. */
export function records(message: Buffer, recordBytes = 16 * 1024): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes)
    pieces.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + recordBytes)));
  return Buffer.concat(pieces);
}

/** What a client of TLS sends first. */
export const clientHello = (serverName: string): Buffer =>
  records(
    helloMessage([
      [0, serverNames(serverName)],
      [43, Buffer.from([2, 3, 4])],
    ]),
  );
