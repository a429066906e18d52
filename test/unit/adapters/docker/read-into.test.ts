import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readInto } from "../../../../src/adapters/docker/attach.ts";

describe("what a stream is read into", () => {
  let folder: string;
  let path: string;
  let server: Server;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "read-into-"));
    path = join(folder, "stream");
    server = createServer().listen(path);
    await once(server, "listening");
  });
  afterEach(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Two ends of one stream: what is written to the first comes to `bytes`. */
  async function ends(bytes: (chunk: Buffer) => boolean): Promise<readonly [writing: Socket, reading: Socket]> {
    const came = once(server, "connection") as Promise<[Socket]>;
    const reading = connect({ path, onread: readInto(bytes) });
    const [writing] = await came;
    return [writing, reading];
  }

  test("is small for one that says little, and the same for each of its words", async () => {
    const memories = new Set<ArrayBufferLike>();
    const heard: string[] = [];
    const three = Promise.withResolvers<void>();
    const [writing, reading] = await ends((chunk) => {
      memories.add(chunk.buffer);
      heard.push(chunk.toString());
      if (heard.length === 3) three.resolve();
      else writing.write("next");
      return true;
    });
    writing.write("first");
    await three.promise;
    reading.destroy();
    expect(heard).toEqual(["first", "next", "next"]);
    expect([...memories].map(({ byteLength }) => byteLength)).toEqual([8192]);
  });

  test("grows with a flood up to a bound, is then the same again and again, and loses no byte", async () => {
    const sent = Buffer.alloc(16 * 1024 * 1024, "what a flood is made of, ");
    const memories = new Set<ArrayBufferLike>();
    const heard: Buffer[] = [];
    const [writing, reading] = await ends((chunk) => {
      memories.add(chunk.buffer);
      heard.push(Buffer.from(chunk));
      return true;
    });
    writing.end(sent);
    await once(reading, "close");
    expect(Buffer.concat(heard).equals(sent)).toBe(true);
    const sizes = [...memories].map(({ byteLength }) => byteLength / 1024);
    expect(sizes).toEqual([8, 16, 32, 64, 128].slice(0, sizes.length));
    expect(sizes.length).toBeGreaterThan(1);
  });

  test("stays as it is while there is no room for it", async () => {
    const sent = Buffer.from(Array.from({ length: 64 * 1024 }, (_, at) => at % 251));
    const kept: Buffer[] = [];
    const heard: Buffer[] = [];
    let reading: Socket | null = null;
    const [writing, read] = await ends((chunk) => {
      kept.push(chunk);
      // Taken one turn of the event loop later, when a next read would have come.
      setImmediate(() => {
        heard.push(Buffer.from(chunk));
        reading?.resume();
      });
      return false;
    });
    reading = read;
    writing.end(sent);
    await once(read, "close");
    expect(kept.length).toBeGreaterThan(1);
    expect(Buffer.concat(heard).equals(sent)).toBe(true);
  });
});
