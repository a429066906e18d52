import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diskObjectStore } from "../../../../src/adapters/disk/disk-object-store.ts";
import { never } from "../../../support/samples.ts";

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "disk-objects-"));
  root = join(folder, "objects");
});
afterEach(() => rmSync(folder, { recursive: true }));

async function* body(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

test("folders and files are this user's alone", async () => {
  await diskObjectStore(root).put("a/b", body("x"), never());
  expect(statSync(root).mode & 0o777).toBe(0o700);
  expect(statSync(join(root, "a")).mode & 0o777).toBe(0o700);
  expect(statSync(join(root, "a", "b")).mode & 0o777).toBe(0o600);
});

test("while a body comes in, nothing can be seen of it", async () => {
  const store = diskObjectStore(root);
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("half");
    expect(await store.get("a/b", never())).toBeNull();
    expect(await store.list("a", never())).toEqual([]);
    yield Buffer.from(" whole");
  };
  await store.put("a/b", watched(), never());
  expect(readdirSync(join(root, "a"))).toEqual(["b"]);
});

test("what a killed process left is no object, and goes with what it belongs to", async () => {
  const store = diskObjectStore(root);
  await store.put("a/b", body("x"), never());
  writeFileSync(join(root, "a", ".draft-0000"), "half");
  expect(await store.list("a", never())).toEqual([{ key: "a/b", sizeBytes: 1 }]);
  await store.remove("a", never());
  expect(readdirSync(root)).toEqual([]);
});

test("removing never follows a link", async () => {
  const store = diskObjectStore(root);
  await store.put("a/b", body("x"), never());
  mkdirSync(join(folder, "elsewhere"));
  writeFileSync(join(folder, "elsewhere", "precious"), "");
  symlinkSync(join(folder, "elsewhere"), join(root, "a", "link"));
  await store.remove("a", never());
  expect(readdirSync(join(folder, "elsewhere"))).toEqual(["precious"]);
});

test("a root that is a file is one clear failure", async () => {
  writeFileSync(root, "");
  const failure = { code: "internal", message: expect.stringContaining(`in the object store ${root}`) };
  await expect(diskObjectStore(root).put("a/b", body("x"), never())).rejects.toMatchObject(failure);
});

test("a sweep takes drafts that have not grown for some time, and no object", async () => {
  const store = diskObjectStore(root);
  await store.put("a/b", body("x"), never());
  writeFileSync(join(root, "a", ".draft-1"), "half");
  expect(await store.sweep(60_000, never())).toBe(0);
  expect(await store.sweep(0, never())).toBe(1);
  expect(readdirSync(join(root, "a"))).toEqual(["b"]);
});
