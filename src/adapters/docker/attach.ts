import { connect, type OnReadOpts, type Socket } from "node:net";
import type Dockerode from "dockerode";

/** A container's standard streams: what it reads, and what it wrote, multiplexed as the engine does it. */
export interface AttachedStream {
  write(pieces: readonly Buffer[]): void;
  /** `false` after a `bytes` that answered false: go on. */
  resume(): void;
  destroy(): void;
}

export interface AttachEvents {
  /** The buffer is used again for the next bytes. False: no more until `resume`. */
  bytes(chunk: Buffer): boolean;
  /** Once, when the stream is over for whatever reason. */
  closed(): void;
}

/** What most sandboxes say at once fits. What is larger counts as old garbage soon, and has the whole heap marked: each sandbox makes its own. */
const firstReadBytes = 8 * 1024;
const largestReadBytes = 128 * 1024;
const maxHeadBytes = 16 * 1024;

/**
 * Attaches to a container's stdin, stdout and stderr over a connection of its own. Written by hand because the client package hands out a
 * stream that allocates a buffer for every read: with a gigabyte of output that garbage grows faster than it is collected.
 * @throws Error with the engine's `statusCode` when it refuses, or the socket's own error; when `signal` aborts before the engine
 * has answered, the connection is closed too.
 */
export function attachStream(
  docker: Dockerode,
  id: string,
  events: AttachEvents,
  signal: AbortSignal,
): Promise<AttachedStream> {
  const { promise, resolve, reject } = Promise.withResolvers<AttachedStream>();
  let head: Buffer | null = Buffer.alloc(0);
  const onread = readInto((chunk) => {
    if (head === null) return events.bytes(chunk);
    head = Buffer.concat([head, chunk]);
    const at = head.indexOf("\r\n\r\n");
    if (at < 0) {
      if (head.length > maxHeadBytes) socket.destroy(new Error("the engine's answer to attach has no end"));
      return true;
    }
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head.toString("latin1", 0, 16))?.[1] ?? 0);
    const behind = Buffer.from(head.subarray(at + 4));
    head = null;
    if (status !== 101 && status !== 200) {
      socket.destroy(refusal(status, behind));
      return true;
    }
    resolve(stream);
    return behind.length === 0 || events.bytes(behind);
  });
  const { socketPath, host, port } = addressOf(docker);
  const socket: Socket = socketPath
    ? connect({ path: socketPath, onread })
    : connect({ host: host ?? "localhost", port: Number(port), onread });
  const stream = streamOf(socket);
  const giveUp = (): void => void socket.destroy();
  if (signal.aborted) giveUp();
  else signal.addEventListener("abort", giveUp, { once: true });
  promise.catch(() => undefined).finally(() => signal.removeEventListener("abort", giveUp));
  socket.setNoDelay(true);
  socket.once("error", reject);
  socket.once("close", () => {
    reject(new Error("the engine closed the connection before it answered"));
    if (head === null) events.closed();
  });
  socket.write(
    `POST /containers/${encodeURIComponent(id)}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n` +
      "Host: docker\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
  );
  return promise;
}

/**
 * A socket's `onread` for {@link AttachEvents.bytes}. What it reads into is served again and again, so that a gigabyte of output costs no memory; it
 * is twice as large after a read that filled it, up to 128 KiB. A chunk that was not taken whole stays as it is until the socket reads on.
 */
export function readInto(bytes: AttachEvents["bytes"]): OnReadOpts {
  let target = Buffer.allocUnsafeSlow(firstReadBytes);
  let wasFull = false;
  return {
    buffer() {
      if (wasFull && target.length < largestReadBytes) target = Buffer.allocUnsafeSlow(2 * target.length);
      wasFull = false;
      return target;
    },
    callback(length, { buffer, byteOffset, byteLength }) {
      wasFull = length === byteLength;
      return bytes(Buffer.from(buffer, byteOffset, length));
    },
  };
}

/** What is written after its end is dropped. */
export const streamOf = (socket: Socket): AttachedStream => ({
  write(pieces) {
    if (!socket.writable) return;
    socket.cork();
    for (const piece of pieces) if (piece.length > 0) socket.write(piece);
    socket.uncork();
  },
  resume: () => void socket.resume(),
  destroy: () => void socket.destroy(),
});

interface EngineAddress {
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: string | number;
}

/** Where the client package was told to connect to. */
const addressOf = (docker: Dockerode): EngineAddress => docker.modem as EngineAddress;

function refusal(status: number, body: Buffer): Error {
  const text = body.toString("utf8");
  const message = /"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? `HTTP ${status}`;
  return Object.assign(new Error(message), { statusCode: status });
}
