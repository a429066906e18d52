import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { demux } from "../../src/adapters/docker/protocol/demux.ts";
import type { Spoiled } from "./spoiled-frames.ts";

/** An engine behind a wire that can be stopped and spoiled. */
export interface EngineWire {
  readonly socketPath: string;
  /** Nothing passes any more, as with a stopped engine: connections stand, calls are taken and not answered. */
  freeze(): void;
  /** What was held back passes now, also for callers that are gone. */
  thaw(): void;
}

export type Direction = "to the sandbox" | "from the sandbox";

/** Made anew for each direction of each attach. */
export type Spoiler = (direction: Direction) => (chunk: Buffer) => Spoiled;

/** Listens at `socketPath` until this process ends. */
export async function engineWire(enginePath: string, socketPath: string, spoiler: Spoiler): Promise<EngineWire> {
  const wires = new Set<Wire>();
  let isFrozen = false;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    const wire = wireBetween(client, () => connect({ path: enginePath, allowHalfOpen: true }), spoiler);
    wires.add(wire);
    client.once("close", () => wires.delete(wire));
    if (!isFrozen) wire.flow();
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    freeze() {
      isFrozen = true;
      for (const wire of wires) wire.stop();
    },
    thaw() {
      isFrozen = false;
      for (const wire of wires) wire.flow();
    },
  };
}

interface Wire {
  flow(): void;
  stop(): void;
}

function wireBetween(client: Socket, dial: () => Socket, spoiler: Spoiler): Wire {
  let engine: Socket | null = null;
  const cut = (): void => {
    client.destroy();
    engine?.destroy();
  };
  const pass = (from: Socket, to: Socket, change: (chunk: Buffer) => Spoiled): void => {
    from.on("data", (chunk: Buffer) => {
      const { bytes, cut: isLast } = change(chunk);
      if (bytes.length > 0 && !to.write(bytes)) {
        from.pause();
        to.once("drain", () => from.resume());
      }
      if (isLast) to.end(cut);
    });
    from.on("end", () => to.end());
    // Either side may go away at any time: that is what this is for.
    from.on("error", cut);
    from.on("close", () => to.end());
  };
  return {
    flow() {
      if (engine === null) {
        engine = dial();
        const { up, down } = attachAware(spoiler);
        pass(client, engine, up);
        pass(engine, client, down);
      }
      client.resume();
      engine.resume();
    },
    stop() {
      client.pause();
      engine?.pause();
    },
  };
}

const headEnd = "\r\n\r\n";

/** Leaves every call alone but an attach, and of that the two HTTP heads. */
function attachAware(spoiler: Spoiler): Record<"up" | "down", (chunk: Buffer) => Spoiled> {
  let isAttach: boolean | null = null;
  const up = behindHead(spoiler("to the sandbox"));
  const split = demux();
  const spoil = spoiler("from the sandbox");
  const down = behindHead((chunk) => {
    const out: Buffer[] = [];
    for (const { stream, bytes } of split(chunk)) {
      const spoiled = stream === "stdout" ? spoil(bytes) : { bytes, cut: false };
      if (spoiled.bytes.length > 0) out.push(muxHeader(stream, spoiled.bytes.length), spoiled.bytes);
      if (spoiled.cut) return { bytes: Buffer.concat(out), cut: true };
    }
    return { bytes: Buffer.concat(out), cut: false };
  });
  return {
    up(chunk) {
      isAttach ??= /^POST \S*\/containers\/[0-9a-f]+\/attach\?/.test(chunk.toString("latin1", 0, 256));
      return isAttach ? up(chunk) : { bytes: chunk, cut: false };
    },
    down: (chunk) => (isAttach ? down(chunk) : { bytes: chunk, cut: false }),
  };
}

function behindHead(change: (chunk: Buffer) => Spoiled): (chunk: Buffer) => Spoiled {
  let head: Buffer<ArrayBufferLike> | null = Buffer.alloc(0);
  return (chunk) => {
    if (head === null) return change(chunk);
    head = Buffer.concat([head, chunk]);
    const at = head.indexOf(headEnd);
    if (at < 0) return { bytes: Buffer.alloc(0), cut: false };
    const whole = head;
    head = null;
    const rest = change(whole.subarray(at + headEnd.length));
    return { bytes: Buffer.concat([whole.subarray(0, at + headEnd.length), rest.bytes]), cut: rest.cut };
  };
}

function muxHeader(stream: "stdout" | "stderr", length: number): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream === "stdout" ? 1 : 2;
  header.writeUInt32BE(length, 4);
  return header;
}
