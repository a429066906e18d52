import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { extract } from "tar-stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { packContext, readCaFiles } from "../../../../src/adapters/docker/image-context.ts";

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "image-context-"));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

test("a context holds its files with the same owner, time and mode on every machine, and always a folder ca", async () => {
  const files = [
    { path: "Dockerfile", bytes: Buffer.from("FROM x"), executable: false },
    { path: "bin/run", bytes: Buffer.from("#!"), executable: true },
  ];
  const entries = [];
  const tar = packContext(files, [{ path: "own.crt", bytes: Buffer.from("PEM"), executable: false }]).pipe(extract());
  for await (const entry of tar) {
    const { name, mode, uid, gid, mtime } = entry.header;
    entries.push({ name, mode, owner: `${uid}:${gid}`, mtime: mtime?.getTime(), text: String(await buffer(entry)) });
  }
  expect(entries).toEqual([
    { name: "ca", mode: 0o755, owner: "0:0", mtime: 0, text: "" },
    { name: "Dockerfile", mode: 0o644, owner: "0:0", mtime: 0, text: "FROM x" },
    { name: "bin/run", mode: 0o755, owner: "0:0", mtime: 0, text: "#!" },
    { name: "ca/own.crt", mode: 0o644, owner: "0:0", mtime: 0, text: "PEM" },
  ]);
});

test("extra certificates are the .crt files of the folder", async () => {
  await writeFile(join(dir, "b.crt"), "B");
  await writeFile(join(dir, "a.crt"), "A");
  await writeFile(join(dir, "key.pem"), "no");
  expect((await readCaFiles(dir)).map((file) => file.path)).toEqual(["a.crt", "b.crt"]);
});

test("a certificate folder that is not there holds none", async () => {
  expect(await readCaFiles(join(dir, "nowhere"))).toEqual([]);
  expect(await readCaFiles(null)).toEqual([]);
});

test("a certificate folder that cannot be read is refused by its path", async () => {
  const file = join(dir, "file");
  await writeFile(file, "");
  await expect(readCaFiles(file)).rejects.toMatchObject({ code: "image", message: expect.stringContaining(file) });
});
