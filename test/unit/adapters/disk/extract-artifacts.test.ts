import { createHash } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { extractArtifacts, type ReadTar } from "../../../../src/adapters/disk/extract-artifacts.ts";
import type { Manifest, ManifestEntry } from "../../../../src/model/manifest.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "extract-"));
});
afterEach(async () => {
  expect(openReads, "reads of the tar that were not let go of").toBe(0);
  await rm(folder, { recursive: true, force: true });
});

interface Stored {
  readonly manifest: Manifest;
  readonly bytes: Buffer;
}

/** Files at multiples of 512, as in a tar. A folder's name ends with a slash. */
function stored(files: Readonly<Record<string, string | Buffer>>): Stored {
  const entries: ManifestEntry[] = [];
  const folders: { path: string }[] = [];
  const pieces: Buffer[] = [];
  let at = 0;
  for (const [path, given] of Object.entries(files)) {
    const content = Buffer.from(given);
    pieces.push(Buffer.alloc(512, "h"));
    at += 512;
    if (path.endsWith("/")) {
      folders.push({ path: path.slice(0, -1) });
      continue;
    }
    const sha256 = createHash("sha256").update(content).digest("hex");
    entries.push({ path, size_bytes: content.length, sha256, mime: "x/y", offset: at });
    const padded = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    content.copy(padded);
    pieces.push(padded);
    at += padded.length;
  }
  return { manifest: { entries, folders }, bytes: Buffer.concat(pieces) };
}

/** Reads in pieces of one buffer, as the store on disk does, so that whoever keeps one is found out. */
const reader = ({ bytes }: Stored, pieceBytes = 7, reads: [number, number][] = []): ReadTar =>
  async function read(start, end) {
    reads.push([start, end]);
    return (async function* () {
      openReads += 1;
      try {
        const piece = Buffer.alloc(pieceBytes);
        for (let at = start; at < Math.min(end, bytes.length); at += pieceBytes) {
          const length = bytes.copy(piece, 0, at, Math.min(at + pieceBytes, end));
          yield piece.subarray(0, length);
        }
      } finally {
        openReads -= 1;
      }
    })();
  };
let openReads = 0;

const pull = (of: Stored, into = folder, wanted: readonly string[] | null = null, withFolders?: boolean) =>
  extractArtifacts(of.manifest, reader(of), into, wanted && new Set(wanted), withFolders);

test("puts files and folders where they belong, byte for byte", async () => {
  const out = join(folder, "new");
  const large = Buffer.from(Array.from({ length: 5000 }, (_, at) => at % 251));
  expect(await pull(stored({ "d/": "", "d/a": "1", empty: "", "e/f/": "", "d/large": large }), out)).toBe(3);
  expect(await readFile(join(out, "d/a"), "utf8")).toBe("1");
  expect(await readFile(join(out, "d/large"))).toEqual(large);
  expect(await readFile(join(out, "empty"), "utf8")).toBe("");
  expect(await readdir(join(out, "e/f"))).toEqual([]);
  expect(((await stat(join(out, "d/a"))).mode & 0o777 & ~0o644).toString(8)).toBe("0");
});

test("takes only what is wanted, with folders if asked to", async () => {
  const all = stored({ "d/": "", a: "1", b: "2" });
  expect(await pull(all, join(folder, "some"), ["a"])).toBe(1);
  expect(await readdir(join(folder, "some"))).toEqual(["a"]);
  expect(await pull(all, join(folder, "more"), ["b"], true)).toBe(1);
  expect(await readdir(join(folder, "more"))).toEqual(["b", "d"]);
});

test("reads neighbours in one go, and nothing of what is not wanted", async () => {
  const all = stored({ a: "1", b: "2", c: "3", d: "4" });
  const reads: [number, number][] = [];
  await extractArtifacts(all.manifest, reader(all, 100, reads), folder, new Set(["a", "b", "d"]));
  expect(reads).toEqual([
    [512, 1537],
    [3584, 3585],
  ]);
});

test("a name that is no UTF-8 keeps its bytes", async () => {
  const all = stored({ "d/\uFFFD": "x" });
  const [entry] = all.manifest.entries;
  const name = Buffer.from([0x64, 0x2f, 0xff]);
  const manifest = {
    entries: [{ ...(entry as ManifestEntry), path_base64: name.toString("base64") }],
    folders: [],
  };
  await extractArtifacts(manifest, reader(all), folder, null);
  expect(await readFile(Buffer.concat([Buffer.from(`${folder}/`), name]), "utf8")).toBe("x");
});

test.each(["../x", "/x", "a/../../x", "a//x", "a/./x", "..", ".", "a\0b", "x/"])(
  "refuses the name %j, as a file and as a folder, and writes nothing",
  async (name) => {
    const out = join(folder, "out");
    const { manifest, bytes } = stored({ a: "bad" });
    const refusal = { code: "validation", message: expect.stringContaining("is not a plain relative name") };
    const entries = manifest.entries.map((entry) => ({ ...entry, path: name }));
    await expect(pull({ bytes, manifest: { entries, folders: [] } }, out)).rejects.toMatchObject(refusal);
    await expect(pull({ bytes, manifest: { entries: [], folders: [{ path: name }] } }, out)).rejects.toMatchObject(
      refusal,
    );
    expect(await readdir(folder)).toEqual([]);
  },
);

test("does not follow a link that is there, neither as folder nor as file", async () => {
  const outside = join(folder, "outside");
  const out = join(folder, "out");
  await mkdir(outside);
  await mkdir(out);
  await writeFile(join(outside, "file"), "precious");
  await symlink(outside, join(out, "d"));
  await symlink(join(outside, "file"), join(out, "f"));
  await expect(pull(stored({ "d/a": "1" }), out)).rejects.toThrow(/is there and is no folder/);
  await expect(pull(stored({ "d/": "" }), out)).rejects.toThrow(/is there and is no folder/);
  expect(await pull(stored({ f: "mine" }), out)).toBe(1);
  expect(await readFile(join(outside, "file"), "utf8")).toBe("precious");
  expect(await readFile(join(out, "f"), "utf8")).toBe("mine");
  expect((await lstat(join(out, "f"))).isFile()).toBe(true);
});

describe("an object that is not what was put: nothing of the damaged file is there, what came before stays", () => {
  const whole = stored({ first: "one", second: "two and more", third: "three" });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["one bit of the content is changed", (bytes) => bytes.with(1024 + 512, (bytes[1024 + 512] ?? 0) ^ 1) as Buffer],
    ["it ends in the middle of the content", (bytes) => bytes.subarray(0, 1024 + 512 + 3)],
    ["it ends before the content", (bytes) => bytes.subarray(0, 1024)],
  ])("%s", async (_name, damage) => {
    const bytes = Buffer.from(damage(whole.bytes));
    const refusal = { code: "internal", message: expect.stringContaining('"second" is damaged') };
    await expect(pull({ ...whole, bytes })).rejects.toMatchObject(refusal);
    expect(await readdir(folder)).toEqual(["first"]);
  });

  test("what is damaged between the files does not matter", async () => {
    const bytes = Buffer.from(whole.bytes);
    bytes.fill(0xff, 0, 512);
    expect(await pull({ ...whole, bytes })).toBe(3);
  });

  test("one that is wanted and that the manifest does not name", async () => {
    const refusal = { code: "internal", message: expect.stringContaining('"fourth" is damaged') };
    await expect(pull(whole, folder, ["first", "fourth"])).rejects.toMatchObject(refusal);
    expect(await readdir(folder)).toEqual([]);
  });

  test("two entries in one place", async () => {
    const [first, second] = whole.manifest.entries as [ManifestEntry, ManifestEntry];
    const manifest = { entries: [first, { ...second, offset: first.offset + 1 }], folders: [] };
    await expect(pull({ ...whole, manifest })).rejects.toThrow(/"second" is damaged .* two files stand in one place/);
    expect(await readdir(folder)).toEqual(["first"]);
  });
});
