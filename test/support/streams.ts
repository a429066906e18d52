import type { ChildProcess } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** How much came through, and its hash. */
export interface Digest {
  readonly bytes: number;
  readonly sha256: string;
}

export async function digestOf(stream: AsyncIterable<Buffer>): Promise<Digest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

const zeros = "0".repeat(32);

/** A shell line that writes so many bytes that look random and are the same every time. */
export const noiseCommand = (bytes: number): string =>
  `openssl enc -aes-128-ctr -nosalt -K ${zeros} -iv ${zeros} -in /dev/zero 2> /dev/null | head -c ${bytes}`;

/** The same bytes, made here. */
export async function noiseDigest(bytes: number): Promise<Digest> {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16));
  const piece = Buffer.alloc(1024 * 1024);
  async function* noise(): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0; left -= piece.length)
      yield cipher.update(piece.subarray(0, Math.min(left, piece.length)));
  }
  return await digestOf(noise());
}

/** The most memory a process has held, bytes, looked at until it ended. */
export async function peakRssBytes(child: ChildProcess): Promise<number> {
  let peakBytes = 0;
  const ended = once(child, "exit").then(() => true);
  do {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(statusOf(child.pid))?.[1];
    peakBytes = Math.max(peakBytes, Number(kib ?? 0) * 1024);
  } while (!(await Promise.race([ended, sleep(20, false)])));
  return peakBytes;
}

function statusOf(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    // Gone between the two looks.
    return "";
  }
}

/** A way to the engine that breaks. */
export interface CuttingProxy extends AsyncDisposable {
  /** Attached streams that were cut in the middle. */
  cuts(): number;
}

/**
 * Listens on `path`, passes everything on to the engine's socket, and cuts every attached stream after as many bytes from the
 * engine as `afterBytes` says, wherever in a frame that is.
 */
export async function cuttingProxy(path: string, enginePath: string, afterBytes: () => number): Promise<CuttingProxy> {
  let cutCount = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const engine = connect(enginePath);
    for (const socket of [client, engine]) {
      open.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        engine.destroy();
      });
    }
    let leftBytes = Number.POSITIVE_INFINITY;
    client.on("data", (chunk) => {
      if (/^POST \S+\/attach/.test(chunk.subarray(0, 200).toString("latin1"))) leftBytes = afterBytes();
      if (!engine.write(chunk)) {
        client.pause();
        engine.once("drain", () => client.resume());
      }
    });
    engine.on("data", (chunk) => {
      const part = chunk.subarray(0, leftBytes);
      leftBytes -= part.length;
      const isTaken = client.write(part);
      if (leftBytes <= 0) {
        cutCount += 1;
        engine.pause();
        client.destroySoon();
      } else if (!isTaken) {
        engine.pause();
        client.once("drain", () => engine.resume());
      }
    });
  });
  server.listen(path);
  await once(server, "listening");
  return {
    cuts: () => cutCount,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
