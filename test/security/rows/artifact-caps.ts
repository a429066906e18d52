import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import type { Limits } from "../../../src/model/limits.ts";
import { brief, expectReason, type HostileCase, hostile, isGvisor, shell } from "../hostile-case.ts";
import { inFolder, kept, type Look, tree } from "../kept-artifacts.ts";

const mib = 1024 * 1024;

const small: Partial<Limits> = { output_mb: 1 };
const overLimit = (name: string, command: string, limits: Partial<Limits>, look: Look): HostileCase =>
  hostile(
    "E12",
    name,
    async (ground) => {
      const found = await kept(ground, shell(command, limits));
      expectReason(found.ran.result, "output_limit");
      expect(found.ran.result.exit_code).toBe(0);
      await look(found, ground);
      await inFolder(async (folder) => expect(await found.pull(folder)).toBe(found.files.length));
    },
    brief,
  );

const caps: readonly HostileCase[] = [
  tree("E12", "exactly 10,000 files", shell("cd /output; seq 10000 | xargs touch", { inodes: 20_000 }), ({ files }) =>
    expect(files.length).toBe(10_000),
  ),
  overLimit("10,001 files", "cd /output; seq 10001 | xargs touch", { inodes: 20_000 }, ({ files, ran }) => {
    expect(files.length).toBe(10_000);
    expect(ran.result.output.artifacts.length).toBe(10_000);
  }),
  tree(
    "E12",
    "exactly as many bytes as may be kept",
    shell("cd /output; truncate -s 1048575 a; printf x >b", small),
    ({ files }) =>
      expect(files).toEqual([
        ["a", mib - 1],
        ["b", 1],
      ]),
  ),
  overLimit(
    "one byte more than may be kept",
    "cd /output; truncate -s 1048576 a; printf x >b",
    small,
    ({ files, skipped }) => {
      expect(files).toEqual([["a", mib]]);
      expect(skipped).toEqual({ b: "bytes" });
    },
  ),
  overLimit(
    "a sparse file counts by the size it shows",
    "cd /output; echo x >a; truncate -s 2M hole; stat -c %b hole",
    small,
    ({ files, skipped, ran }) => {
      if (!isGvisor(ran.result)) expect(ran.result.output.stdout).toBe("0\n");
      expect([files, skipped]).toEqual([[["a", 2]], { hole: "bytes" }]);
    },
  ),
  tree(
    "E12",
    "64 levels of folders",
    shell(`cd /output; for n in $(seq 63); do mkdir d; cd d; done; echo x >f`),
    ({ files, folders }) => {
      expect(files).toEqual([[`${"d/".repeat(63)}f`, 2]]);
      expect(folders.length).toBe(63);
    },
  ),
  overLimit(
    "65 levels of folders",
    "cd /output; for n in $(seq 64); do mkdir d; cd d; done; echo x >f",
    {},
    ({ files, folders }) => {
      expect(files).toEqual([]);
      expect(folders.length).toBe(64);
    },
  ),
];

/** Writes bytes and tells their hash, so that what comes out can be told to be the same. */
const opaque = (id: string, name: string, make: string, more: Partial<Limits> = {}): HostileCase =>
  tree(
    id,
    name,
    shell(`cd /tmp; ${make}; cp bomb /output/bomb; sha256sum <bomb | cut -c1-64`, { ...more, timeout_seconds: 60 }),
    ({ ran, files }) => {
      expect(files.length).toBe(1);
      expect(ran.result.output.artifacts[0]?.sha256).toBe(ran.result.output.stdout.trim());
    },
  );

const quine = gzipSync(gzipSync(Buffer.alloc(1000))).toString("base64");

const bombs: readonly HostileCase[] = [
  opaque("E13", "a gzip bomb", "head -c 1G /dev/zero | gzip -9 >bomb"),
  opaque("E13", "a gzip bomb in a gzip bomb", "head -c 1G /dev/zero | gzip -9 | gzip -9 >bomb"),
  opaque(
    "E13",
    "an XML bomb",
    `(echo '<!DOCTYPE x [<!ENTITY a "ha">'; for n in $(seq 30); do echo "<!ENTITY a$n \\"&a;&a;&a;&a;&a;\\">"; done; echo ']><x>&a30;</x>') >bomb`,
  ),
  opaque("E13", "a tar that would unpack to 8 GiB", "truncate -s 100M hole && tar -S -cf bomb hole hole hole"),
  opaque(
    "E21",
    "an archive in an archive in an archive",
    `echo ${quine} | base64 -d >bomb; for n in $(seq 20); do tar -cf next bomb && mv next bomb; done`,
  ),
  tree(
    "E21",
    "archives by name and type are no folders",
    shell(
      "cd /output; tar -cf a.tar /etc/hostname 2>/dev/null; gzip <a.tar >a.tgz; cp a.tar artifacts.tar; echo '{}' >manifest.json; cp a.tgz logs.ndjson.gz",
    ),
    ({ files }) =>
      expect(files.map(([name]) => name)).toEqual([
        "a.tar",
        "a.tgz",
        "artifacts.tar",
        "logs.ndjson.gz",
        "manifest.json",
      ]),
  ),
];

export const artifactCapRows: readonly HostileCase[] = [...caps, ...bombs];
