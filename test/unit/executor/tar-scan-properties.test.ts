import { randomInt } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type TarCaps, type TarEntry, tarScan } from "../../../src/executor/tar-scan.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { endOfTar, padded, paxHeader, paxRecord, tarEntry, tarHeader, wholeTar } from "../../support/hostile-tar.ts";

const seed = 20_261_124;
const randomMs = 1000;
const caps: TarCaps = { maxBytes: 1 << 20, maxEntries: 50 };

interface Seen extends TarEntry {
  readonly content: Buffer;
}

function scan(bytes: Buffer, pieceBytes = bytes.length || 1, most = caps): readonly Seen[] {
  const seen: Seen[] = [];
  let entry: TarEntry | null = null;
  let content: Buffer[] = [];
  const scanning = tarScan(
    {
      entry: (one) => {
        entry = one;
        content = [];
      },
      content: (piece) => content.push(Buffer.from(piece)),
      done: () => {
        if (entry !== null) seen.push({ ...entry, content: Buffer.concat(content) });
      },
    },
    most,
  );
  for (let at = 0; at < bytes.length; at += pieceBytes) scanning.push(bytes.subarray(at, at + pieceBytes));
  scanning.finish();
  return seen;
}

/** With a fixed seed, and then for a while with one that nobody has tried: a failure prints it. */
function holds<T>(what: string, arbitrary: fc.Arbitrary<T>, predicate: (value: T) => void): void {
  test(`${what} (seed ${seed})`, () => {
    fc.assert(fc.property(arbitrary, predicate), { seed, numRuns: 400 });
  });
  const other = randomInt(2 ** 31);
  test(`${what} (${randomMs} ms of another seed)`, { timeout: 30_000 }, () => {
    try {
      fc.assert(fc.property(arbitrary, predicate), { seed: other, numRuns: 1e9, interruptAfterTimeLimit: randomMs });
    } catch (error) {
      throw new Error(`with the seed ${other}`, { cause: error });
    }
  });
}

/** Part of a path: any bytes but a slash and a NUL. */
const part = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))))
  .filter((bytes) => !["", ".", ".."].includes(bytes.toString("latin1")));

const path = fc
  .array(part, { minLength: 1, maxLength: 12 })
  .map((parts) => Buffer.concat(parts.flatMap((each, at) => (at === 0 ? [each] : [Buffer.from("/"), each]))));

/** Around the edges of blocks, where readers miscount. */
const size = fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 1023, 1024, 1025), fc.nat(5000));

const file = fc.record({ kind: fc.constantFrom("file" as const, "directory" as const), path, size, fill: fc.nat(255) });
const tree = fc.array(file, { maxLength: 8 });

type Tree = typeof tree extends fc.Arbitrary<infer T> ? T : never;

/** As sandbox-init writes it: a name that does not fit, or is not plain, in an extended header. */
function written(files: Tree): Buffer {
  const pieces = files.flatMap(({ kind, path: name, size: bytes, fill }) => {
    const isFolder = kind === "directory";
    const full = isFolder ? Buffer.concat([name, Buffer.from("/")]) : name;
    const isShort = full.length <= 100 && full.every((byte) => byte < 0x80);
    const content = isFolder ? Buffer.alloc(0) : Buffer.alloc(bytes, fill);
    const entry = tarEntry(isShort ? full : "x", content, isFolder ? { type: "5", mode: 0o755 } : {});
    return isShort ? [entry] : [paxHeader(paxRecord("path", full)), entry];
  });
  return wholeTar(...pieces);
}

const pieces = fc.integer({ min: 1, max: 2000 });

holds("a tree comes back as it was written, however it is cut", fc.tuple(tree, pieces), ([files, pieceBytes]) => {
  const tar = written(files);
  const seen = scan(tar, pieceBytes);
  expect(seen.map(({ kind, path: name }) => [kind, name.toString("latin1")])).toEqual(
    files.map(({ kind, path: name }) => [kind, name.toString("latin1")]),
  );
  for (const [at, { kind, content, offset, sizeBytes }] of seen.entries()) {
    const { size: bytes, fill } = files[at] as Tree[number];
    expect(content.equals(kind === "file" ? Buffer.alloc(bytes, fill) : Buffer.alloc(0))).toBe(true);
    expect(content.equals(tar.subarray(offset, offset + sizeBytes))).toBe(true);
  }
});

/** Either refused by its own error, or nothing that is unsafe or over a cap is let through. */
function harmless(tar: Buffer, pieceBytes?: number): void {
  let seen: readonly Seen[];
  try {
    seen = scan(tar, pieceBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ExecutorError);
    expect((error as ExecutorError).code).toBe("sandbox");
    expect((error as ExecutorError).message.length).toBeLessThan(400);
    return;
  }
  expect(seen.length).toBeLessThanOrEqual(caps.maxEntries);
  expect(seen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThanOrEqual(caps.maxBytes);
  for (const { path: name, content, sizeBytes } of seen) {
    const parts = name.toString("latin1").split("/");
    expect(parts.every((each) => each !== "" && each !== "." && each !== ".." && !each.includes("\0"))).toBe(true);
    expect(content.length).toBe(sizeBytes);
  }
}

const flips = fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 8 });
holds("bits that flip are refused, or do no harm", fc.tuple(tree, flips, pieces), ([files, flipped, pieceBytes]) => {
  const tar = written(files);
  for (const [at, bit] of flipped) tar[at % tar.length] = (tar[at % tar.length] ?? 0) ^ (1 << bit);
  harmless(tar, pieceBytes);
});

holds(
  "a header whose fields are anything, its checksum right, does no harm",
  fc.tuple(tree, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 24 }), fc.nat(511)),
  ([files, which, bytes, at]) => {
    const tar = written(files);
    const block = 512 * (which % (tar.length / 512));
    Buffer.from(bytes).copy(tar, block + at, 0, Math.min(bytes.length, 512 - at));
    const header = tar.subarray(block, block + 512);
    header.write("        ", 148, "latin1");
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    harmless(tar);
  },
);

holds("an archive that is cut is refused at every block", tree, (files) => {
  const tar = written(files);
  for (let end = 0; end < tar.length; end += 512) expect(() => scan(tar.subarray(0, end))).toThrow(/ends too early/);
  expect(() => scan(tar.subarray(0, tar.length - 1))).toThrow(/ends too early/);
});

holds(
  "whatever follows an archive makes it refused",
  fc.tuple(tree, tree, fc.uint8Array({ minLength: 512, maxLength: 600 })),
  ([files, others, noise]) => {
    const tar = written(files);
    for (const more of [written(others), Buffer.from(noise), Buffer.alloc(512)])
      expect(() => scan(Buffer.concat([tar, more]))).toThrow(/after the end|ends too early/);
  },
);

holds("noise is refused", fc.uint8Array({ maxLength: 3000 }), (noise) => harmless(Buffer.from(noise)));

const record = fc.tuple(
  fc.oneof(
    fc.constantFrom("path", "size", "linkpath", "GNU.sparse.name", "uid", "SCHILY.xattr.user.x"),
    fc.string({ minLength: 1, maxLength: 12 }),
  ),
  fc.oneof(
    fc.uint8Array({ maxLength: 30 }).map(Buffer.from),
    fc
      .constantFrom("../x", "/x", "a\0b", "-1", "99999999999999", "1e3", "0x10", "", " 1")
      .map((text) => Buffer.from(text)),
  ),
);
holds(
  "records of extended headers, whatever they say, do no harm",
  fc.array(record, { minLength: 1, maxLength: 4 }),
  (records) => {
    const all = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
    harmless(wholeTar(paxHeader(all), tarEntry("a", "x")));
  },
);

const good = tarEntry("a", "x");

test.each<[string, Buffer, RegExp]>([
  ["a PAX path with a NUL", wholeTar(paxHeader(paxRecord("path", "a\0b")), good), /not plainly relative/],
  ["a PAX size of -1", wholeTar(paxHeader(paxRecord("size", "-1")), good), /a PAX size that is no number/],
  ["a PAX size beyond the cap", wholeTar(paxHeader(paxRecord("size", "99999999999999")), good), /files of more than/],
  ["a PAX size beyond exact numbers", wholeTar(paxHeader(paxRecord("size", "9".repeat(20))), good), /no number/],
  [
    "a PAX path twice",
    wholeTar(paxHeader(Buffer.concat([paxRecord("path", "b"), paxRecord("path", "c")])), good),
    /"path", or a second one/,
  ],
  ["a PAX name of a sparse file", wholeTar(paxHeader(paxRecord("GNU.sparse.name", "../x")), good), /GNU\.sparse\.name/],
  ["a PAX attribute", wholeTar(paxHeader(paxRecord("SCHILY.xattr.security.capability", "x")), good), /SCHILY/],
  ["a PAX owner", wholeTar(paxHeader(paxRecord("uname", "root")), good), /uname/],
  ["a PAX link", wholeTar(paxHeader(paxRecord("linkpath", "/etc/passwd")), good), /linkpath/],
  ["a PAX record whose length lies", wholeTar(paxHeader(Buffer.from("99 path=b\n")), good), /broken PAX record/],
  [
    "a PAX record of 1 GB",
    Buffer.concat([tarHeader({ type: "x", size: 2 ** 30 }), Buffer.alloc(512)]),
    /PAX header of 1073741824 bytes/,
  ],
  ["an empty PAX header", wholeTar(paxHeader(Buffer.alloc(0)), good), /PAX header of 0 bytes/],
  [
    "a PAX header of a PAX header",
    wholeTar(paxHeader(paxRecord("path", "b")), paxHeader(paxRecord("path", "c")), good),
    /of an extended header/,
  ],
  ["a PAX header of nothing", wholeTar(paxHeader(paxRecord("path", "b"))), /of nothing/],
  ["a global header", wholeTar(paxHeader(paxRecord("path", "../x"), "g"), good), /type "g"/],
  ["a GNU name of 1 GB", Buffer.concat([tarHeader({ name: "././@LongLink", type: "L", size: 2 ** 30 })]), /type "L"/],
  ["a sparse file", wholeTar(tarEntry("a", "", { type: "S" })), /type "S"/],
  ["an old file", wholeTar(tarEntry("a", "x", { type: "\0" })), /type "\\u0000"/],
  ["a header of GNU's kind", wholeTar(tarEntry("a", "x", { magic: "ustar  \0" })), /another kind of tar/],
  ["a header of no kind", wholeTar(tarEntry("a", "x", { magic: "" })), /another kind of tar/],
  ["a wrong checksum", wholeTar(tarEntry("a", "x", { checksumOff: 1 })), /wrong checksum/],
  [
    "a size in binary",
    wholeTar(tarEntry("a", "x", { rawSize: Buffer.from("800000000000000000000001", "hex") })),
    /not octal/,
  ],
  ["a size below zero", wholeTar(tarEntry("a", "x", { rawSize: Buffer.from("-0000000001\0") })), /not octal/],
  ["a folder with content", wholeTar(tarEntry("d/", "x", { type: "5", mode: 0o755 })), /a folder of 1 bytes/],
  ["a file with the name of a folder", wholeTar(tarEntry("a/", "x")), /not plainly relative/],
  ["a program that changes its user", wholeTar(tarEntry("a", "x", { mode: 0o4755 })), /mode 4755/],
  ["a file that all may write to", wholeTar(tarEntry("a", "x", { mode: 0o666 })), /mode 666/],
  ["a file of somebody", wholeTar(tarEntry("a", "x", { uid: 1000 })), /with an owner/],
  ["a file of somebody by name", wholeTar(tarEntry("a", "x", { uname: "root" })), /with an owner/],
  ["one entry too many", wholeTar(...Array.from({ length: 51 }, (_, at) => tarEntry(`${at}`))), /more than 50 entries/],
  [
    "one byte too many",
    wholeTar(tarEntry("a", Buffer.alloc(2 ** 20)), tarEntry("b", "x")),
    /files of more than 1048576 bytes/,
  ],
  ["a third block at the end", Buffer.concat([good, endOfTar, Buffer.alloc(512)]), /bytes after the end/],
  ["content behind the end", Buffer.concat([good, endOfTar, padded("x")]), /bytes after the end/],
])("refuses %s", (_name, tar, why) => {
  expect(() => scan(tar)).toThrow(why);
  expect(() => scan(tar, 1)).toThrow(why);
});

test("exactly as much as is allowed passes", () => {
  const files = Array.from({ length: 49 }, (_, at) => tarEntry(`${at}`));
  expect(scan(wholeTar(tarEntry("a", Buffer.alloc(2 ** 20)), ...files))).toHaveLength(50);
});

test("an endless archive is refused with little of it read and nothing of it kept", () => {
  const scanning = tarScan({ entry: () => undefined, content: () => undefined, done: () => undefined }, caps);
  const header = tarEntry("d/", "", { type: "5", mode: 0o755 });
  let pushed = 0;
  expect(() => {
    for (; pushed < 1000; pushed += 1) scanning.push(header);
  }).toThrow(/more than 50 entries/);
  expect(pushed).toBe(50);
});
