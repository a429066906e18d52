/** A piece of the container's stdout or stderr, cut as the engine sent it. */
export interface StreamPiece {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Buffer;
}

/**
 * Takes apart the engine's multiplexed attach stream: 8 bytes of header (stream number, three zeros, length), then that many bytes.
 * Pieces are views of the chunk; a piece cut by the chunk's end comes in parts, never held back. The chunk may be overwritten afterwards.
 */
export function demux(): (chunk: Buffer) => readonly StreamPiece[] {
  let header: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let stream: "stdout" | "stderr" = "stdout";
  let left = 0;
  return (chunk) => {
    const pieces: StreamPiece[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (left === 0) {
        const wanted = 8 - header.length;
        const part = chunk.subarray(at, at + wanted);
        header = header.length === 0 ? part : Buffer.concat([header, part]);
        at += part.length;
        if (header.length < 8) {
          header = Buffer.from(header);
          break;
        }
        stream = header[0] === 2 ? "stderr" : "stdout";
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const bytes = chunk.subarray(at, at + left);
      at += bytes.length;
      left -= bytes.length;
      pieces.push({ stream, bytes });
    }
    return pieces;
  };
}
