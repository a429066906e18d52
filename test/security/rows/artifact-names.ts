import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { attemptPrefix } from "../../../src/model/attempt.ts";
import { unpackedProgram } from "../../support/unpacked-program.ts";
import type { Ground, Request } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, python, shell } from "../hostile-case.ts";
import { inFolder, kept } from "../kept-artifacts.ts";

const run = promisify(execFile);
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

/** Names as bytes. Each file holds its own name. */
const names: Readonly<Record<string, Buffer>> = {
  "a line's end": latin1("a\nb"),
  "a colour": latin1("\x1b[31mred"),
  "a byte that is no UTF-8": latin1("\xff"),
  "half a character": latin1("a\xe2\x82"),
  "255 bytes": latin1("n".repeat(255)),
  "255 bytes of umlauts": Buffer.from(`${"ä".repeat(127)}x`),
  "a space": latin1(" "),
  "three dots": latin1("..."),
  "two dots and a space": latin1(".. "),
  "a flag": latin1("-rf"),
  "a flag of tar": latin1("--checkpoint-action=exec=sh evil.sh"),
  "a flag of tar, short": latin1("-I sh"),
  "a star": latin1("*"),
  "a climb, encoded": latin1("a%2f..%2f..%2fetc"),
  "a climb, in the other direction": latin1("..\\..\\x"),
  "a drive": latin1("C:x"),
  "a device of elsewhere": latin1("con"),
  "a direction": Buffer.from("user\u202egnp.exe"),
  "one character in one way": Buffer.from("\u00e9"),
  "the same character in another": Buffer.from("e\u0301"),
  "a capital": latin1("A"),
  "and a small letter": latin1("a"),
  "a version": latin1("x?versionId=null&acl"),
  "a fragment": latin1("x#y;z"),
  "a shell's words": latin1("$(touch evil);`touch evil`|&"),
  quotes: latin1(`'"'`),
  "a store's own words": latin1(".draft-1"),
  "the archive's own": latin1("artifacts.tar"),
  "a record": latin1('{"gap":1}'),
  "no character": Buffer.from("\u200b"),
};

const writer = (paths: readonly Buffer[]): Request =>
  python(
    `import os
for name in ${JSON.stringify(paths.map((path) => path.toString("hex")))}:
    name = bytes.fromhex(name)
    path = b"/output/" + name
    if b"/" in name: os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file: file.write(name)`,
  );

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const byBytes = (paths: readonly Buffer[]): readonly string[] => paths.map((path) => path.toString("hex")).toSorted();

/** Every object of the task stands where the attempt's ids say, whatever its files are called. */
async function expectPlace({ house }: Ground, key: { tenantId: string; taskId: string }): Promise<void> {
  const prefix = attemptPrefix({ key, number: 1 });
  const found = await house.parts.objects.list(`tasks/${key.tenantId}`, new AbortController().signal);
  const own = found
    .filter(({ key: name }) => name.startsWith(`tasks/${key.tenantId}/${key.taskId}/`))
    .map(({ key: name }) => name);
  expect(own).toEqual([`${prefix}/artifacts.tar`, `${prefix}/manifest.json`]);
}

interface OnDisk {
  readonly name: string;
  readonly type: "file" | "directory" | "other";
  readonly mode: number;
  readonly uid: number;
  readonly sha256: string;
}

/** What stands below a folder of this host, by the bytes of its name. */
function onDisk(folder: string): readonly OnDisk[] {
  const found: OnDisk[] = [];
  const visit = (below: Buffer): void => {
    const path = Buffer.concat([Buffer.from(`${folder}/`), below]);
    for (const name of readdirSync(path, { encoding: "buffer" })) {
      const inner = below.length === 0 ? name : Buffer.concat([below, Buffer.from("/"), name]);
      const at = Buffer.concat([Buffer.from(`${folder}/`), inner]);
      const stat = lstatSync(at);
      const type = stat.isFile() ? "file" : stat.isDirectory() ? "directory" : "other";
      const content = type === "file" ? readFileSync(at) : Buffer.alloc(0);
      found.push({
        name: inner.toString("hex"),
        type,
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        sha256: sha256(content),
      });
      if (type === "directory") visit(inner);
    }
  };
  visit(Buffer.alloc(0));
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

const odd = Object.values(names);
const deep = latin1(`${"deep/".repeat(40)}${"x".repeat(200)}`);
const isText = (path: Buffer): boolean => Buffer.from(path.toString("utf8")).equals(path);

/** Programs that people unpack with, as root, where everything that an archive says could come true. */
const extractors: Readonly<Record<string, (archive: string, into: string) => Promise<void>>> = {
  "GNU tar": async (archive, into) => void (await run("tar", ["-xpf", archive, "-C", into])),
  bsdtar: async (archive, into) => {
    const { program, env } = await unpackedProgram("bsdtar");
    // -P: without it C: is taken off a name, as a drive.
    const unpacking = run(program, ["-xpPf", archive, "-C", into], {
      env: { ...process.env, ...env, LC_ALL: "C.UTF-8" },
    });
    await unpacking.catch((error: { stderr: string }) => {
      // What it says of names that are no UTF-8, which it unpacks all the same.
      const others = error.stderr
        .trim()
        .split("\n")
        .filter((line) => !/can't be converted|Error exit delayed/.test(line));
      expect(others).toEqual([]);
    });
  },
};

const tree = async (ground: Ground, paths: readonly Buffer[]) => {
  const extra =
    "chmod 4755 /output/run; mkdir -p /output/empty; chmod 7777 /output/empty; ln -s / /output/link; mkfifo /output/pipe";
  const request = writer(paths);
  const code = `${(request.payload as { argv: string[] }).argv[2]}
open("/output/run", "w").write("#!/bin/sh\\n")
os.system(${JSON.stringify(extra)})`;
  const found = await kept(ground, python(code));
  expectReason(found.ran.result, "ok");
  return found;
};

const unpacking: readonly HostileCase[] = [
  ...Object.entries(extractors).map(([program, unpack]) =>
    hostile(
      "E14",
      `what was kept, unpacked by ${program} as root`,
      async (ground) => {
        expect(process.geteuid?.(), "this test is run by root").toBe(0);
        // libarchive makes one name of the two ways to write a character.
        const paths = [...odd, deep].filter(
          (path) => program !== "bsdtar" || path !== names["the same character in another"],
        );
        const { tar } = await tree(ground, paths);
        await inFolder(async (folder) => {
          const [archive, into] = [join(folder, "a.tar"), join(folder, "out")];
          writeFileSync(archive, tar);
          mkdirSync(into);
          await unpack(archive, into);
          const found = onDisk(into);
          expect(
            byBytes(found.filter(({ type }) => type === "file").map(({ name }) => Buffer.from(name, "hex"))),
          ).toEqual(byBytes([...paths, latin1("run")]));
          for (const { name, type, mode, uid, sha256: hash } of found) {
            expect(uid).toBe(0);
            if (type === "directory") expect(mode).toBe(0o755);
            else if (name === latin1("run").toString("hex")) expect([type, mode]).toEqual(["file", 0o755]);
            else expect([type, mode, hash]).toEqual(["file", 0o644, sha256(Buffer.from(name, "hex"))]);
          }
          expect(found.some(({ name }) => name === latin1("empty").toString("hex"))).toBe(true);
          expect(readdirSync(folder).toSorted()).toEqual(["a.tar", "out"]);
        });
      },
      brief,
    ),
  ),
  ...[true, false].map((onlyText) =>
    hostile(
      "E14",
      `what was kept, unpacked by Python with its data filter${onlyText ? "" : ", names that are no text too"}`,
      async (ground) => {
        const paths = [...odd, deep].filter((path) => !onlyText || isText(path));
        const { tar } = await tree(ground, paths);
        await inFolder(async (folder) => {
          const archive = join(folder, "a.tar");
          writeFileSync(archive, tar);
          const program = join(import.meta.dirname, "../../support/python-untar.ts");
          const { stdout } = await run(process.execPath, ["--disable-warning=ExperimentalWarning", program, archive]);
          const { entries, files } = JSON.parse(stdout) as {
            entries: { name: string; type: string; mode: number; sha256: string }[];
            files: number;
          };
          const regular = entries
            .filter(({ type }) => type === "file")
            .map((entry) => ({ ...entry, name: Buffer.from(entry.name, "base64") }));
          expect(byBytes(regular.map(({ name }) => name))).toEqual(byBytes([...paths, latin1("run")]));
          for (const { name, mode, sha256: hash } of regular) {
            if (name.toString() === "run") expect(mode).toBe(0o755);
            else expect([mode, hash]).toEqual([0o644, sha256(name)]);
          }
          // Its file system here knows names of text only.
          if (onlyText) {
            expect(entries.filter(({ type }) => type !== "file" && type !== "directory")).toEqual([]);
            expect(files).toBe(paths.length + 1);
          }
        });
      },
      { boundMs: 180_000, isBrief: true },
    ),
  ),
];

export const artifactNameRows: readonly HostileCase[] = [
  ...Object.entries(names).map(([what, name]) =>
    hostile(
      "E8",
      `an artifact whose name is ${what}`,
      async (ground) => {
        const { ran, files, pull } = await kept(ground, writer([name]));
        expectReason(ran.result, "ok");
        expect(files).toEqual([[name.toString("utf8"), name.length]]);
        await expectPlace(ground, ran.key);
        await inFolder(async (folder) => {
          expect(await pull(folder)).toBe(1);
          expect(onDisk(folder)).toMatchObject([{ name: name.toString("hex"), type: "file", sha256: sha256(name) }]);
        });
      },
      brief,
    ),
  ),
  hostile(
    "E8",
    "all of these at once, each still its own",
    async (ground) => {
      const { ran, files, pull } = await kept(ground, writer(odd));
      expectReason(ran.result, "ok");
      expect(files.length).toBe(odd.length);
      await inFolder(async (folder) => {
        expect(await pull(folder)).toBe(odd.length);
        expect(byBytes(onDisk(folder).map(({ name }) => Buffer.from(name, "hex")))).toEqual(byBytes(odd));
      });
    },
    brief,
  ),
  ...(
    [
      ["a path of 2,000 bytes", latin1(`${"0123456789abcdef0123456789abcde/".repeat(62)}x`)],
      ["folders that look like another task's place", latin1("tasks/other/case-1/1/artifacts.tar")],
      ["folders of dots", latin1(".../.../x")],
      ["folders of encoded climbs", latin1("%2e%2e/%2e%2e/other-task/x")],
      ["folders of lookalike dots", Buffer.from("\u2024\u2024/\uff0e\uff0e/x")],
    ] as const
  ).map(([what, path]) =>
    hostile(
      "E9",
      what,
      async (ground) => {
        const { ran, files, pull } = await kept(ground, writer([path]));
        expectReason(ran.result, "ok");
        expect(files).toEqual([[path.toString("utf8"), path.length]]);
        await expectPlace(ground, ran.key);
        await inFolder(async (folder) => expect(await pull(folder)).toBe(1));
      },
      brief,
    ),
  ),
  ...["../../other/case-1", "a/b", "a b", ".", "..", "a\0b", "a?b", "", "x".repeat(64), "\u202ea"].map((id) =>
    hostile(
      "E9",
      `a task and a tenant called ${JSON.stringify(id.slice(0, 20))}`,
      async (ground) => {
        const body = { ...shell("echo x >/output/f"), task_id: "t" };
        for (const request of [
          { ...body, task_id: id },
          { ...body, tenant_id: id },
        ])
          expect(await ground.refused(request)).toMatchObject({ code: "validation" });
      },
      brief,
    ),
  ),
  ...unpacking,
];
