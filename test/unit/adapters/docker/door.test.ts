import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { doorPath, doorStream, doors } from "../../../../src/adapters/docker/door.ts";

describe("a door", () => {
  let folder: string;
  let path: string;
  let server: Server;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "door-"));
    path = join(folder, "door");
    server = createServer().listen(path);
    await once(server, "listening");
  });
  afterEach(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const silent = { bytes: () => true, closed: () => undefined };

  test("is looked for in the sandbox's own file system", () => {
    expect(doorPath(4711, "0123")).toBe("/proc/4711/root/run/toolx/0123");
  });

  test("carries bytes both ways, and says once when it is over", async () => {
    const came = once(server, "connection") as Promise<[Socket]>;
    const heard: string[] = [];
    const over = Promise.withResolvers<void>();
    const stream = await doorStream(path, {
      bytes: (chunk) => heard.push(chunk.toString()) > 0,
      closed: () => {
        heard.push("closed");
        over.resolve();
      },
    });
    const [inside] = await came;
    stream.write([Buffer.from("in"), Buffer.alloc(0), Buffer.from("side")]);
    const [bytes] = (await once(inside, "data")) as [Buffer];
    expect(bytes.toString()).toBe("inside");
    inside.end("outside");
    await over.promise;
    expect(heard).toEqual(["outside", "closed"]);
  });

  test("is read into little memory while it says little, and into the same for each of its words", async () => {
    const came = once(server, "connection") as Promise<[Socket]>;
    const memories = new Set<ArrayBufferLike>();
    const heard: string[] = [];
    const three = Promise.withResolvers<void>();
    const stream = await doorStream(path, {
      ...silent,
      bytes(chunk) {
        memories.add(chunk.buffer);
        heard.push(chunk.toString());
        if (heard.length === 3) three.resolve();
        else stream.write([Buffer.from("more")]);
        return true;
      },
    });
    const [inside] = await came;
    inside.on("data", () => inside.write("next"));
    inside.write("first");
    await three.promise;
    stream.destroy();
    expect(heard).toEqual(["first", "next", "next"]);
    expect([...memories].map(({ byteLength }) => byteLength)).toEqual([8192]);
  });

  test("is read into more with a flood, up to a bound, and no byte is lost", async () => {
    const came = once(server, "connection") as Promise<[Socket]>;
    const sent = Buffer.alloc(16 * 1024 * 1024, "what a flood is made of, ");
    const memories = new Set<ArrayBufferLike>();
    const heard: Buffer[] = [];
    const over = Promise.withResolvers<void>();
    await doorStream(path, {
      bytes(chunk) {
        memories.add(chunk.buffer);
        return heard.push(Buffer.from(chunk)) > 0;
      },
      closed: over.resolve,
    });
    const [inside] = await came;
    inside.end(sent);
    await over.promise;
    expect(Buffer.concat(heard).equals(sent)).toBe(true);
    expect([...memories].map(({ byteLength }) => byteLength / 1024)).toEqual([8, 16, 32, 64, 128]);
  });

  test("leaves what there is no room for as it is until it is told to go on", async () => {
    const came = once(server, "connection") as Promise<[Socket]>;
    // Far more than it grows to, and of no length that fits: what is read over something else shows.
    const sent = Buffer.alloc(4 * 1024 * 1024, Buffer.from(Array.from({ length: 251 }, (_, at) => at)));
    const heard: Buffer[] = [];
    const over = Promise.withResolvers<void>();
    const stream = await doorStream(path, {
      bytes(chunk) {
        // Taken one turn of the event loop later, when a next read would have come.
        setImmediate(() => {
          heard.push(Buffer.from(chunk));
          stream.resume();
        });
        return false;
      },
      closed: over.resolve,
    });
    const [inside] = await came;
    inside.end(sent);
    await over.promise;
    expect(heard.length).toBeGreaterThan(1);
    expect(Buffer.concat(heard).equals(sent)).toBe(true);
  });

  test("that is a link is none: it would lead out of the sandbox", async () => {
    const link = join(folder, "link");
    await symlink(path, link);
    await expect(doorStream(link, silent)).rejects.toThrow("is no socket");
  });

  test.each([
    ["a file", async (at: string) => await writeFile(at, "")],
    ["nothing", async () => undefined],
  ])("where there is %s leads nowhere", async (_what, make) => {
    const at = join(folder, "other");
    await make(at);
    await expect(doorStream(at, silent)).rejects.toThrow();
  });

  test("that nobody listens at leads nowhere", async () => {
    const at = join(folder, "left");
    const left = createServer().listen(at);
    await once(left, "listening");
    // Node removes the file of a server that it closes; one that was killed leaves it.
    const link = join(folder, "kept");
    await import("node:fs/promises").then(({ link: hardLink }) => hardLink(at, link));
    left.close();
    await once(left, "close");
    await expect(doorStream(link, silent)).rejects.toThrow("ECONNREFUSED");
  });
});

test("doors are given up after three in a row that led nowhere", () => {
  const here = doors(true);
  for (const worked of [false, false, true, false, false]) here.tried(worked);
  expect(here.areWorthIt()).toBe(true);
  here.tried(false);
  expect(here.areWorthIt()).toBe(false);
  expect(doors(false).areWorthIt()).toBe(false);
});
