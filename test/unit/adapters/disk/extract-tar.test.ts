import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { extractTar } from "../../../../src/adapters/disk/extract-tar.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "extract-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function tarOf(
  files: readonly { name: string; content?: string; type?: "symlink" | "directory" }[],
): AsyncIterable<Uint8Array> {
  const packing = pack();
  for (const { name, content = "", type } of files)
    packing.entry({ name, size: content.length, linkname: "/etc", ...(type ? { type } : {}) }, content);
  packing.finalize();
  return packing as AsyncIterable<Uint8Array>;
}

test("puts only the wanted files, with folders if asked to", async () => {
  const tar = [
    { name: "d", type: "directory" as const },
    { name: "a", content: "1" },
    { name: "b", content: "2" },
  ];
  expect(await extractTar(tarOf(tar), join(folder, "some"), new Set(["a"]))).toBe(1);
  expect(await readdir(join(folder, "some"))).toEqual(["a"]);
  expect(await extractTar(tarOf(tar), join(folder, "more"), new Set(["a"]), true)).toBe(1);
  expect(await readdir(join(folder, "more"))).toEqual(["a", "d"]);
});

test("puts files and folders where they belong", async () => {
  const out = join(folder, "new");
  expect(
    await extractTar(
      tarOf([
        { name: "d", type: "directory" },
        { name: "d/a", content: "1" },
        { name: "b", content: "2" },
      ]),
      out,
      null,
    ),
  ).toBe(2);
  expect(await readFile(join(out, "d/a"), "utf8")).toBe("1");
});

test("takes only what is wanted", async () => {
  expect(
    await extractTar(
      tarOf([
        { name: "a", content: "1" },
        { name: "b", content: "2" },
      ]),
      folder,
      new Set(["b"]),
    ),
  ).toBe(1);
  await expect(lstat(join(folder, "a"))).rejects.toThrow();
});

test.each(["../x", "/x", "a/../../x", "a//x"])("refuses the name %s and writes nothing outside", async (name) => {
  const out = join(folder, "out");
  await expect(extractTar(tarOf([{ name, content: "bad" }]), out, null)).rejects.toThrow(
    /not a plain relative name|cannot be written/,
  );
  await expect(lstat(join(folder, "x"))).rejects.toThrow();
});

test("does not follow a link that is there, neither as folder nor as file", async () => {
  const outside = join(folder, "outside");
  const out = join(folder, "out");
  await mkdir(outside);
  await mkdir(out);
  await writeFile(join(outside, "file"), "precious");
  await symlink(outside, join(out, "d"));
  await symlink(join(outside, "file"), join(out, "f"));
  await expect(extractTar(tarOf([{ name: "d/a", content: "1" }]), out, null)).rejects.toThrow(
    /is there and is no folder/,
  );
  expect(await extractTar(tarOf([{ name: "f", content: "mine" }]), out, null)).toBe(1);
  expect(await readFile(join(outside, "file"), "utf8")).toBe("precious");
  expect(await readFile(join(out, "f"), "utf8")).toBe("mine");
});

test("makes no links", async () => {
  expect(await extractTar(tarOf([{ name: "l", type: "symlink" }]), folder, null)).toBe(0);
  await expect(lstat(join(folder, "l"))).rejects.toThrow();
});
