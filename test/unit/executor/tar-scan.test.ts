import { createHash } from "node:crypto";
import fc from "fast-check";
import { pack } from "tar-stream";
import { describe, expect, test } from "vitest";
import { type TarCaps, type TarEntry, tarScan } from "../../../src/executor/tar-scan.ts";

interface Seen extends TarEntry {
  readonly content: Buffer;
}

const wide: TarCaps = { maxBytes: 2 ** 40, maxEntries: 10_000 };

function scan(chunks: readonly Buffer[], caps = wide): readonly Seen[] {
  const seen: Seen[] = [];
  let entry: TarEntry | null = null;
  let content: Buffer[] = [];
  const scanning = tarScan(
    {
      entry: (one) => {
        entry = one;
        content = [];
      },
      content: (bytes) => content.push(Buffer.from(bytes)),
      done: () => {
        if (entry) seen.push({ ...entry, content: Buffer.concat(content) });
      },
    },
    caps,
  );
  for (const chunk of chunks) scanning.push(chunk);
  scanning.finish();
  return seen;
}

async function tarOf(
  files: readonly {
    name: string;
    content?: Buffer;
    type?: "directory" | "symlink" | "fifo" | "link";
    pax?: Record<string, string>;
  }[],
): Promise<Buffer> {
  const packing = pack();
  for (const { name, content = Buffer.alloc(0), type = "file" as const, pax } of files) {
    const linkname = type === "link" || type === "symlink" ? "x" : undefined;
    const header = { name, type, size: content.length, linkname, ...(pax ? { pax } : {}) };
    packing.entry(header as never, content);
  }
  packing.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packing) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

describe("reading the tar of a sandbox", () => {
  test("finds files, folders and where each content starts", async () => {
    const tar = await tarOf([
      { name: "d/", type: "directory" },
      { name: "d/a.txt", content: Buffer.from("hello") },
      { name: "empty" },
    ]);
    const seen = scan([tar]);
    expect(seen.map(({ kind, path, sizeBytes }) => [kind, path.toString(), sizeBytes])).toEqual([
      ["directory", "d", 0],
      ["file", "d/a.txt", 5],
      ["file", "empty", 0],
    ]);
    for (const { offset, sizeBytes, content } of seen)
      expect(tar.subarray(offset, offset + sizeBytes)).toEqual(content);
  });

  test("the same however the bytes are cut", async () => {
    const tar = await tarOf([
      { name: `${"long-name/".repeat(20)}file`, content: Buffer.from("x".repeat(700)) },
      { name: "naïve ☃", content: Buffer.from("y") },
    ]);
    const whole = scan([tar]);
    expect(whole).toHaveLength(2);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 8 }), (sizes) => {
        const chunks: Buffer[] = [];
        for (let at = 0, turn = 0; at < tar.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(tar.subarray(at, at + size));
          at += size;
        }
        expect(scan(chunks)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  test.each<[string, Parameters<typeof tarOf>[0][number]]>([
    ["a symbolic link", { name: "a", type: "symlink" }],
    ["a hard link", { name: "a", type: "link" }],
    ["a FIFO", { name: "a", type: "fifo" }],
    ["a name that climbs", { name: "a/../../x" }],
    ["an absolute name", { name: "/etc/x" }],
    ["an empty segment", { name: "a//b" }],
    ["a PAX path that climbs", { name: "a", pax: { path: "../x" } }],
    ["a PAX path with a NUL", { name: "a", pax: { path: "a\0b" } }],
    ["a PAX size below zero", { name: "a", pax: { size: "-1" } }],
    ["a PAX size beyond all bounds", { name: "a", pax: { size: "9".repeat(30) } }],
  ])("refuses %s", async (_name, file) => {
    const tar = await tarOf([file]);
    expect(() => scan([tar])).toThrow(/^artifacts: /);
  });

  test("refuses an archive cut at any block", async () => {
    const tar = await tarOf([{ name: "a", content: Buffer.from("z".repeat(1500)) }]);
    for (let end = 512; end < tar.length - 512; end += 512)
      expect(() => scan([tar.subarray(0, end)])).toThrow(/ends too early/);
  });

  test("refuses a header with one bit changed", async () => {
    const tar = await tarOf([{ name: "a", content: Buffer.from("z") }]);
    for (const at of [0, 100, 124, 148, 156, 257, 345]) {
      const changed = Buffer.from(tar);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => scan([changed])).toThrow(/^artifacts: /);
    }
  });

  test("never does worse than refuse, whatever the bytes", async () => {
    const tar = await tarOf([
      { name: "a", content: Buffer.from("z".repeat(100)) },
      { name: "ü".repeat(80), content: Buffer.from("q") },
    ]);
    const mutation = fc.array(fc.tuple(fc.nat(tar.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(mutation, (changes) => {
        const changed = Buffer.from(tar);
        for (const [at, value] of changes) changed[at] = value;
        try {
          for (const { path } of scan([changed])) expect(path.toString("latin1")).not.toMatch(/(^|\/)\.\.(\/|$)|^\//);
        } catch (error) {
          expect(String(error)).toMatch(/artifacts: /);
        }
      }),
      { numRuns: 500, seed: 20261123 },
    );
  });

  test("content is passed on as it is", async () => {
    const content = Buffer.alloc(100_000, "abc");
    const [file] = scan([await tarOf([{ name: "a", content }])]);
    expect(
      createHash("sha256")
        .update(file?.content ?? "")
        .digest("hex"),
    ).toBe(createHash("sha256").update(content).digest("hex"));
  });
});
