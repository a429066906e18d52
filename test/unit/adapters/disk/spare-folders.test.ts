import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diskScratch, ownerFile } from "../../../../src/adapters/disk/scratch.ts";
import { type SpareFolders, spareFolders } from "../../../../src/adapters/disk/spare-folders.ts";
import { readSuccession, successionFile, successionName } from "../../../../src/adapters/disk/succession-file.ts";
import type { Attempt } from "../../../../src/model/attempt.ts";
import { ownerText } from "../../../../src/model/owner.ts";
import { until } from "../../../support/until.ts";

const owner = { host: "a1", boot: "b2", pid: 3, start: 4 };
const attempt: Attempt = { key: { tenantId: "acme", taskId: "t-1" }, number: 2, owner };

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "spares-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const sparesHere = (): SpareFolders =>
  spareFolders(root, { owner: ownerText(owner), ownerFile, emptyFiles: [successionName] });

const spareNames = async (): Promise<readonly string[]> =>
  (await readdir(root)).filter((name) => name.startsWith("_._.0."));

const ready = (count: number): Promise<true> =>
  until(
    `${count} folders stand ready`,
    async () => {
      const whole = await Promise.all((await spareNames()).map((name) => readdir(join(root, name))));
      return whole.length === count && whole.every((files) => files.length === 2);
    },
    5_000,
  );

test("an attempt gets one that was made ahead, as one that is made for it, and another takes its place", async () => {
  await using spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  spares.keep(2);
  await ready(2);
  const path = await scratch.make(attempt);
  expect(path.slice(root.length)).toMatch(/^\/acme\.t-1\.2\.[0-9a-f]{12}$/);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect(await readFile(join(path, "owner"), "utf8")).toBe(ownerText(owner));
  expect((await readdir(path)).sort()).toEqual([ownerFile, successionName]);
  await ready(2);
  expect((await scratch.list()).every((folder) => folder.owner?.pid === owner.pid)).toBe(true);
});

test("what is noted in one is read as in any other", async () => {
  await using spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  spares.keep(1);
  await ready(1);
  const path = await scratch.make(attempt);
  expect(readSuccession(path)).toBeNull();
  const note = {
    ...{ sandboxId: "s", token: "t", lastSeq: 0, deaths: 0 },
  } as unknown as Parameters<ReturnType<typeof successionFile>["write"]>[0];
  using file = successionFile(path, true);
  file.write(note);
  file.passed(7);
  expect(readSuccession(path)).toMatchObject({ sandboxId: "s", lastSeq: 7, deaths: 1 });
});

test("they are nobody else's", async () => {
  await using spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  spares.keep(1);
  await ready(1);
  const path = await scratch.make({ ...attempt, owner: { ...owner, pid: 99 } });
  expect(await readFile(join(path, "owner"), "utf8")).toBe(ownerText({ ...owner, pid: 99 }));
  expect(await spareNames()).toHaveLength(1);
});

test("where they were swept away, attempts have folders all the same, and others are made", async () => {
  await using spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  spares.keep(2);
  await ready(2);
  for (const name of await spareNames()) await rm(join(root, name), { recursive: true });
  expect(await readFile(join(await scratch.make(attempt), "owner"), "utf8")).toBe(ownerText(owner));
  await ready(2);
});

test("where none can be made, attempts are told why they have no folder", async () => {
  await using spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  await rm(root, { recursive: true });
  await writeFile(root, "");
  spares.keep(2);
  await expect(scratch.make(attempt)).rejects.toMatchObject({
    code: "internal",
    message: expect.stringMatching(/scratch folder .*ENOTDIR/),
  });
});

test("dispose leaves none, and makes no further one", async () => {
  const spares = sparesHere();
  const scratch = await diskScratch(root, spares);
  spares.keep(3);
  await ready(3);
  await scratch.make(attempt);
  await spares[Symbol.asyncDispose]();
  expect(await spareNames()).toEqual([]);
  await scratch.make(attempt);
  expect((await readdir(root)).every((name) => name.startsWith("acme."))).toBe(true);
});
