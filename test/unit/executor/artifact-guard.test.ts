import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memorySandboxes } from "../../../src/adapters/memory/memory-sandboxes.ts";
import { type Collected, collect } from "../../../src/executor/collect.ts";
import type { SecretsInArtifacts } from "../../../src/executor/parts.ts";
import { tarScan } from "../../../src/executor/tar-scan.ts";
import { redaction } from "../../../src/secrets/redaction.ts";
import { aTask, never } from "../../support/samples.ts";
import { wholeObject } from "../../support/stored-artifacts.ts";
import { tarOf } from "../../support/told-by-a-task.ts";

const secrets = {
  TOKEN: "s3cr3t-T0ken",
  KEY: "0123456789abcdef",
};
const caps = { maxBytes: 1 << 20, maxEntries: 50, maxDepth: 8 };

type File = readonly [name: string, content: Buffer];

interface Kept {
  readonly collected: Collected;
  /** What stands in the tar where the manifest says, by path. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly tar: Buffer;
  readonly objects: readonly string[];
}

/** Collects what a task left, and reads it back as whoever pulls an artifact does. */
async function kept(
  files: readonly File[],
  policy: SecretsInArtifacts,
  { pieceBytes = 1 << 20, unlisted = null as string | null } = {},
): Promise<Kept> {
  const objects = memoryObjectStore();
  const sandboxes = memorySandboxes(() => ({ leaves: tarOf(files, pieceBytes) }));
  const spec = { image: { name: "x", id: "x", env: {} }, runtime: "runc", limits: aTask().limits };
  await using sandbox = await sandboxes.create(spec, never());
  await sandbox.start({ argv: [], env: {}, cwd: "/", stdin: false, deadlineMs: 1, graceMs: 1 }, never());
  const ending = sandbox.events()[Symbol.asyncIterator]();
  await ending.next();
  await ending.return?.(undefined);
  const guarding = {
    redaction: redaction(Object.entries(secrets).map(([name, value]) => ({ name, value: Buffer.from(value) }))),
    policy,
  };
  const small = { maxBytes: new Map(unlisted === null ? [] : [[unlisted, 1000]]), unlisted };
  const asking = { isAsked: false, rest: [], onNumber: () => undefined };
  const collected = await collect(sandbox, asking, caps, small, objects, "p", guarding, never());
  const found = await objects.list("p", never());
  const { artifactsKey } = collected;
  const tar = artifactsKey === null ? Buffer.alloc(0) : await wholeObject(objects, artifactsKey);
  const read = new Map<string, Buffer>();
  for (const { path, offset, size_bytes, sha256 } of collected.entries) {
    const bytes = tar.subarray(offset, offset + size_bytes);
    // The manifest is true of the tar that is kept.
    expect(createHash("sha256").update(bytes).digest("hex"), path).toBe(sha256);
    read.set(path, bytes);
  }
  if (tar.length > 0) expect(namesIn(tar)).toEqual(collected.entries.map(({ path }) => path));
  return { collected, files: read, tar, objects: found.map(({ key }) => key) };
}

/** By the strict reader: what is kept is still a tar that a sandbox could have sent. */
function namesIn(tar: Buffer): readonly string[] {
  const names: string[] = [];
  const scan = tarScan(
    { entry: ({ path }) => names.push(path.toString()), content: () => undefined, done: () => undefined },
    caps,
  );
  scan.push(tar);
  scan.finish();
  return names;
}

const name = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "é", "-"), minLength: 1, maxLength: 12 }),
  fc.string({ unit: fc.constantFrom("l", "o", "n", "g"), minLength: 90, maxLength: 130 }),
  fc.constantFrom(`x-${secrets.TOKEN}.txt`, `long-${"n".repeat(100)}-${secrets.KEY}`),
);
const piece = fc.oneof(
  fc.constantFrom(...Object.values(secrets), "s3cr3t", "-T0ken", "\0", "\n").map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  fc.nat(700).map((length) => Buffer.alloc(length, "filler ")),
);
const content = fc.array(piece, { maxLength: 6 }).map((pieces) => Buffer.concat(pieces));
const someFiles = fc
  .uniqueArray(fc.tuple(name, content), { minLength: 1, maxLength: 5, selector: ([each]) => each })
  .map((files): readonly File[] => files);
const cutInto = fc.integer({ min: 1, max: 1500 });

const holds = (text: Buffer | string): readonly string[] =>
  Object.entries(secrets)
    .filter(([, value]) => text.includes(value))
    .map(([secret]) => secret);
const listed = (files: readonly File[]): readonly File[] => files.filter(([each]) => holds(each).length === 0);
const masked = (bytes: Buffer): Buffer =>
  Buffer.from(
    Object.values(secrets).reduce(
      (text, value) => text.replaceAll(value, "*".repeat(value.length)),
      bytes.toString("latin1"),
    ),
    "latin1",
  );
const isText = (bytes: Buffer): boolean => !bytes.subarray(0, 8000).includes(0);

const patience = { timeout: 120_000 };

describe("whatever a task leaves, however it comes", patience, () => {
  const property = (seed: number, holdsFor: (files: readonly File[], pieceBytes: number) => Promise<void>) =>
    fc.assert(fc.asyncProperty(someFiles, cutInto, holdsFor), { seed, numRuns: 80 });

  test("a name with a secret is nowhere, and under flag all else is kept byte for byte, with who stands in it", async () => {
    await property(61, async (files, pieceBytes) => {
      const { collected, files: read, tar } = await kept(files, "flag", { pieceBytes });
      expect([...read]).toEqual(listed(files));
      const flagged = listed(files).filter(([, bytes]) => holds(bytes).length > 0);
      expect([...collected.flagged.keys()]).toEqual(flagged.map(([path]) => path));
      for (const [path, bytes] of flagged)
        expect([...(collected.flagged.get(path) ?? [])].sort()).toEqual(sorted(bytes));
      const leftOut = files.length - listed(files).length;
      expect(collected.end?.skippedCount).toBe(leftOut);
      for (const { path, why } of collected.end?.skipped ?? []) {
        expect(why).toBe("secret");
        expect(holds(path)).toEqual([]);
      }
      for (const [path] of files) if (holds(path).length > 0) expect(tar.includes(path)).toBe(false);
    });
  });

  test("under redact the same is kept, in text with * for each byte of a secret", async () => {
    await property(62, async (files, pieceBytes) => {
      const { collected, files: read } = await kept(files, "redact", { pieceBytes });
      for (const [path, bytes] of listed(files)) {
        // Whether it is text is seen from what comes first of it.
        const mayBeBoth = isText(bytes) ? [masked(bytes)] : [bytes, masked(bytes)];
        expect(mayBeBoth).toContainEqual(read.get(path));
      }
      expect([...read.keys()]).toEqual(listed(files).map(([path]) => path));
      expect([...collected.flagged.keys()]).toEqual(
        listed(files)
          .filter(([, bytes]) => holds(bytes).length > 0)
          .map(([path]) => path),
      );
    });
  });

  test("under refuse a secret in any file leaves nothing at all, and without one all is kept", async () => {
    await property(63, async (files, pieceBytes) => {
      const { collected, files: read, objects } = await kept(files, "refuse", { pieceBytes });
      const guilty = listed(files).find(([, bytes]) => holds(bytes).length > 0);
      if (guilty === undefined) {
        expect(collected.refused).toBeNull();
        expect([...read]).toEqual(listed(files));
        return;
      }
      expect(collected).toMatchObject({ entries: [], artifactsKey: null, refused: { path: guilty[0] } });
      expect(holds(guilty[1])).toContain(collected.refused?.secret);
      expect(objects).toEqual([]);
    });
  });
});

const sorted = (bytes: Buffer): readonly string[] => [...holds(bytes)].sort();

describe("a secret that is cut", patience, () => {
  const text = Buffer.from(`before ${secrets.TOKEN} after`);

  test.each<[SecretsInArtifacts, string | null]>([
    ["flag", text.toString()],
    ["redact", "before ************ after"],
    ["refuse", null],
  ])("between any two pieces of the tar is found all the same: %s", async (policy, wanted) => {
    for (let pieceBytes = 512 + 7; pieceBytes <= 512 + 20; pieceBytes += 1) {
      const { collected, files } = await kept([["note", text]], policy, { pieceBytes });
      expect(files.get("note")?.toString() ?? null, `${pieceBytes}`).toBe(wanted);
      expect(wanted === null ? collected.refused?.secret : collected.flagged.get("note")?.[0]).toBe("TOKEN");
    }
  });

  test("between two files is none", async () => {
    const { collected } = await kept(
      [
        ["a", Buffer.from("s3cr3t")],
        ["b", Buffer.from("-T0ken")],
      ],
      "refuse",
    );
    expect(collected.refused).toBeNull();
    expect(collected.flagged.size).toBe(0);
  });
});

test("what only the tool reads is heard as it is, and is not kept", async () => {
  const files: readonly File[] = [
    ["notes.json", Buffer.from(`{"x": "${secrets.TOKEN}"}`)],
    ["fine.txt", Buffer.from("fine")],
  ];
  const { collected, tar, files: read } = await kept(files, "refuse", { unlisted: "notes.json" });
  expect(collected.small.get("notes.json")).toEqual(files[0]?.[1]);
  expect([...read.keys()]).toEqual(["fine.txt"]);
  expect([tar.includes("notes.json"), holds(tar)]).toEqual([false, []]);
});
