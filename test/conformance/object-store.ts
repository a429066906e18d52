import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { ObjectStore } from "../../src/ports/object-store.ts";
import { never } from "../support/samples.ts";

/** What every object store promises, whatever it is made of. */
export function objectStoreConformance(name: string, open: () => Promise<ObjectStore>): void {
  const put = (store: ObjectStore, key: string, text: string) => store.put(key, chunks(Buffer.from(text)), never());

  describe(`${name} is an ObjectStore`, () => {
    test("answers null for a key it never saw, and for a folder", async () => {
      await using store = await open();
      expect(await store.get("nowhere", never())).toBeNull();
      await put(store, "a/b", "x");
      expect(await store.get("a", never())).toBeNull();
    });

    test("gives back what was put, whole and by range", async () => {
      await using store = await open();
      expect(await put(store, "tasks/acme/t-1/1/artifacts.tar", "0123456789")).toEqual({
        key: "tasks/acme/t-1/1/artifacts.tar",
        sizeBytes: 10,
      });
      const read = (range?: { start: number; end: number }) => text(store, "tasks/acme/t-1/1/artifacts.tar", range);
      expect(await read()).toBe("0123456789");
      expect(await read({ start: 3, end: 6 })).toBe("345");
      expect(await read({ start: 8, end: 100 })).toBe("89");
      expect(await read({ start: 4, end: 4 })).toBe("");
      expect(await read({ start: 50, end: 60 })).toBe("");
    });

    test("an empty object is an object", async () => {
      await using store = await open();
      expect(await put(store, "empty", "")).toEqual({ key: "empty", sizeBytes: 0 });
      expect(await text(store, "empty")).toBe("");
    });

    test("many megabytes come back as they were", async () => {
      await using store = await open();
      const piece = Buffer.alloc(1_000_003, "seven7!");
      const sent = createHash("sha256");
      const body = async function* (): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 16; count++) {
          sent.update(piece);
          yield piece;
        }
      };
      expect((await store.put("large", body(), never())).sizeBytes).toBe(16 * piece.byteLength);
      const received = createHash("sha256");
      for await (const chunk of (await store.get("large", never())) ?? chunks()) received.update(chunk);
      expect(received.digest("hex")).toBe(sent.digest("hex"));
    });

    test("the latest put counts", async () => {
      await using store = await open();
      await put(store, "key", "a long first one");
      await put(store, "key", "second");
      expect(await text(store, "key")).toBe("second");
      expect(await store.list("key", never())).toEqual([{ key: "key", sizeBytes: 6 }]);
    });

    test("a body that breaks off leaves what was there before, and nothing else", async () => {
      await using store = await open();
      await put(store, "folder/key", "before");
      const broken = new Error("the source broke");
      const body = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from("half");
        throw broken;
      };
      await expect(store.put("folder/key", body(), never())).rejects.toBe(broken);
      await expect(store.put("folder/new", body(), never())).rejects.toBe(broken);
      expect(await text(store, "folder/key")).toBe("before");
      expect(await store.list("folder", never())).toEqual([{ key: "folder/key", sizeBytes: 6 }]);
    });

    test("an abort in the middle leaves nothing", async () => {
      await using store = await open();
      const controller = new AbortController();
      const reason = new Error("enough");
      const body = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from("half");
        controller.abort(reason);
        yield Buffer.from("more");
      };
      await expect(store.put("key", body(), controller.signal)).rejects.toBe(reason);
      expect(await store.get("key", never())).toBeNull();
    });

    test("lists and removes what is below a prefix, in byte order, and no neighbour", async () => {
      await using store = await open();
      for (const key of ["t/1/b", "t/1/a/z", "t/1/a.x", "t/1/B", "t/10/a", "t/1x"]) await put(store, key, key);
      const keys = async (prefix: string) => (await store.list(prefix, never())).map(({ key }) => key);
      expect(await keys("t/1")).toEqual(["t/1/B", "t/1/a.x", "t/1/a/z", "t/1/b"]);
      await store.remove("t/1", never());
      await store.remove("t/1", never());
      expect(await keys("t/1")).toEqual([]);
      expect(await keys("t")).toEqual(["t/10/a", "t/1x"]);
    });

    test("removes the keys that are named, and nothing else", async () => {
      await using store = await open();
      for (const key of ["t/1/a", "t/1/b/c", "t/2/a"]) await put(store, key, key);
      await store.removeKeys(["t/1/a", "t/2/a", "t/3/never"], never());
      await store.removeKeys([], never());
      expect((await store.list("t", never())).map(({ key }) => key)).toEqual(["t/1/b/c"]);
      await put(store, "t/2/a", "again");
      expect(await text(store, "t/2/a")).toBe("again");
    });

    test("removes what was put before a time, no more at once than asked for, below one prefix only", async () => {
      await using store = await open();
      for (const key of ["old/a", "old/b", "old/c/d", "older/a"]) await put(store, key, key);
      const later = Date.now() + 3_600_000;
      expect(await store.expire("old", { putBefore: Date.now() - 3_600_000, limit: 10 }, never())).toBe(0);
      const old = { putBefore: later, limit: 2 };
      const [spared] = await store.list("old", never());
      const isSpared = (key: string): boolean => key === spared?.key;
      expect(await store.expire("old", { ...old, isSpared }, never())).toBe(2);
      expect(await store.list("old", never())).toEqual([spared]);
      expect(await store.expire("old", { ...old, isSpared }, never())).toBe(0);
      expect(await store.expire("old", old, never())).toBe(1);
      expect(await store.expire("old", old, never())).toBe(0);
      expect(await text(store, "older/a")).toBe("older/a");
    });

    test("a body of many small chunks, each good until the next, is stored as it was", async () => {
      await using store = await open();
      const sent = createHash("sha256");
      const chunk = Buffer.alloc(70_001);
      const body = async function* (): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 300; count++) {
          chunk.fill(count % 251);
          sent.update(chunk);
          yield chunk;
        }
      };
      expect((await store.put("small", body(), never())).sizeBytes).toBe(300 * chunk.byteLength);
      const received = createHash("sha256");
      for await (const piece of (await store.get("small", never())) ?? chunks()) received.update(piece);
      expect(received.digest("hex")).toBe(sent.digest("hex"));
    });

    test("a large body that breaks off, or is aborted, leaves what was there, and nothing for a sweep", async () => {
      await using store = await open();
      await put(store, "folder/key", "before");
      const broken = new Error("the source broke");
      const controller = new AbortController();
      const body = async function* (end: () => void): AsyncGenerator<Uint8Array> {
        for (let count = 0; count < 20; count++) yield Buffer.alloc(1_000_003);
        end();
        yield Buffer.from("more");
      };
      const breaking = body(() => {
        throw broken;
      });
      await expect(store.put("folder/key", breaking, never())).rejects.toBe(broken);
      const aborting = body(() => controller.abort(broken));
      await expect(store.put("folder/key", aborting, controller.signal)).rejects.toBe(broken);
      expect(await text(store, "folder/key")).toBe("before");
      expect(await store.sweep(0, never())).toBe(0);
      expect(await store.list("folder", never())).toEqual([{ key: "folder/key", sizeBytes: 6 }]);
    });

    test("an object whose reader stops early can be read again", async () => {
      await using store = await open();
      await store.put("key", chunks(Buffer.alloc(3_000_000, "x")), never());
      for await (const _piece of (await store.get("key", never())) ?? chunks()) break;
      const end = { start: 2_999_998, end: 3_000_000 };
      expect(await text(store, "key", end)).toBe("xx");
    });

    test.each([
      "",
      "/etc/passwd",
      "../up",
      "a/../b",
      "a//b",
      "a/",
      ".",
      "a/.hidden",
      "a\\b",
      "a\0b",
      "ü",
      `${"a/".repeat(40)}a`,
    ])("refuses the key %j everywhere", async (key) => {
      await using store = await open();
      const refusal = { code: "internal", message: expect.stringContaining("object key") };
      await expect(put(store, key, "x")).rejects.toMatchObject(refusal);
      await expect(store.get(key, never())).rejects.toMatchObject(refusal);
      await expect(store.list(key, never())).rejects.toMatchObject(refusal);
      await expect(store.remove(key, never())).rejects.toMatchObject(refusal);
      await expect(store.removeKeys(["fine", key], never())).rejects.toMatchObject(refusal);
      await expect(store.expire(key, { putBefore: 0, limit: 1 }, never())).rejects.toMatchObject(refusal);
    });
  });
}

async function* chunks(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function text(store: ObjectStore, key: string, range?: { start: number; end: number }): Promise<string> {
  const parts: Uint8Array[] = [];
  const body = await store.get(key, never(), range);
  if (body === null) throw new Error(`no object ${key}`);
  // Copied: a chunk is good until the next is asked for.
  for await (const part of body) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}
