import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diskScratch } from "../../../../src/adapters/disk/scratch.ts";
import type { Attempt } from "../../../../src/model/attempt.ts";
import { ownerText } from "../../../../src/model/owner.ts";

const never = new AbortController().signal;
const owner = { host: "a1", boot: "b2", pid: 3, start: 4 };
const attempt: Attempt = { key: { tenantId: "acme", taskId: "t-1" }, number: 2, owner };

let base = "";
let root = "";
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "scratch-"));
  root = join(base, "root");
});
afterEach(async () => {
  await rm(base, { recursive: true, force: true });
});

test("a folder is this attempt's alone, and says whose it is", async () => {
  const scratch = await diskScratch(root);
  const [one, two] = [await scratch.make(attempt), await scratch.make(attempt)];
  expect(one).not.toBe(two);
  expect((await stat(root)).mode & 0o777).toBe(0o700);
  expect((await stat(one)).mode & 0o777).toBe(0o700);
  expect(await readFile(join(one, "owner"), "utf8")).toBe(ownerText(owner));
  const listed = await scratch.list();
  expect(listed.map(({ path }) => path).sort()).toEqual([one, two].sort());
  expect(listed[0]).toMatchObject({ owner, createdAt: expect.closeTo(Date.now(), -5) });
});

test("a folder whose maker died before it could say is listed without an owner", async () => {
  const scratch = await diskScratch(root);
  const path = await scratch.make(attempt);
  await writeFile(join(path, "owner"), "a1:b");
  expect(await scratch.list()).toEqual([expect.objectContaining({ path, owner: null })]);
  await rm(join(path, "owner"));
  expect(await scratch.list()).toEqual([expect.objectContaining({ path, owner: null })]);
});

test("what we did not make is neither listed nor removed", async () => {
  const scratch = await diskScratch(root);
  await mkdir(join(root, "precious"));
  await symlink(base, join(root, "acme.t-1.1.000000000000"));
  expect(await scratch.list()).toEqual([]);
  for (const path of [
    join(root, "precious"),
    root,
    base,
    join(root, "..", "root", "precious"),
    `${root}/acme.t.1.000000000000/..`,
  ]) {
    await expect(scratch.remove(path, never)).rejects.toMatchObject({ code: "internal" });
  }
  expect((await readdir(root)).sort()).toEqual(["acme.t-1.1.000000000000", "precious"]);
});

test("a folder goes with everything in it, and nothing that links point to", async () => {
  const scratch = await diskScratch(root);
  const path = await scratch.make(attempt);
  const outside = join(base, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "keep"), "");
  await mkdir(join(path, "a", "b"), { recursive: true });
  await writeFile(join(path, "a", "file"), "");
  await writeFile(join(path, "a", "b", "owner"), "");
  await symlink(outside, join(path, "link"));
  await symlink(outside, join(path, "a", "b", "link"));
  await scratch.remove(path, never);
  await scratch.remove(path, never);
  expect(await readdir(root)).toEqual([]);
  expect(await readdir(outside)).toEqual(["keep"]);
});

test("a chain of 10,000 folders goes", async () => {
  const scratch = await diskScratch(root);
  const path = await scratch.make(attempt);
  execFileSync("perl", ["-e", "for (1..10000) { mkdir 'd'; chdir 'd' }"], { cwd: path });
  await scratch.remove(path, never);
  expect(await readdir(root)).toEqual([]);
}, 60_000);

test("a removal that was given up can be taken up again", async () => {
  const scratch = await diskScratch(root);
  const path = await scratch.make(attempt);
  await writeFile(join(path, "journal"), "");
  await expect(scratch.remove(path, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  expect(await scratch.list()).toEqual([expect.objectContaining({ path, owner })]);
  await scratch.remove(path, never);
  expect(await scratch.list()).toEqual([]);
});

test("the root is refused when it is a link or others may write it", async () => {
  await mkdir(root, { mode: 0o700 });
  await symlink(root, join(base, "link"));
  await expect(diskScratch(join(base, "link"))).rejects.toMatchObject({
    code: "validation",
    message: expect.stringMatching(/SANDBOX_ROOT/),
  });
  await chmod(root, 0o777);
  await expect(diskScratch(root)).rejects.toMatchObject({ code: "validation", message: expect.stringMatching(/0777/) });
});
