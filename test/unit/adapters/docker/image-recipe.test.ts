import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readRecipes } from "../../../../src/adapters/docker/image-recipe.ts";

const debian = "debian:bookworm-slim";
let imagesDir: string;

beforeEach(async () => {
  imagesDir = await mkdtemp(join(tmpdir(), "image-recipe-"));
  await put("base/Dockerfile", "FROM base");
  await put("base/smoke.sh", "true");
  await put("init/go.mod", "module init");
  await put("init/main.go", "package main");
  await put("python/Dockerfile", "FROM parent");
  await put("python/smoke.sh", "python --version");
  await put("node/Dockerfile", "FROM parent");
  await put("node/smoke.sh", "node --version");
});

afterEach(async () => {
  await rm(imagesDir, { recursive: true });
});

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(imagesDir, path)), { recursive: true });
  await writeFile(join(imagesDir, path), text);
}

/** The names of the images whose inputs `change` changes. */
async function changedBy(change: () => Promise<unknown>, baseImage = debian): Promise<readonly string[]> {
  const before = await allInputs(debian);
  await change();
  const after = await allInputs(baseImage);
  return [...after].filter(([name, inputs]) => before.get(name) !== inputs).map(([name]) => name);
}

async function allInputs(baseImage: string): Promise<ReadonlyMap<string, string>> {
  const { base, others } = await readRecipes(imagesDir, baseImage);
  return new Map([base, ...others].map(({ name, inputs }) => [name, inputs]));
}

describe("an image is built again only when what it is made from changes", () => {
  test.each<[string, () => Promise<unknown>, readonly string[]]>([
    ["nothing", async () => {}, []],
    ["its Dockerfile", () => put("python/Dockerfile", "FROM parent AS x"), ["python"]],
    ["a new file", () => put("python/requirements.txt", "numpy"), ["python"]],
    ["a file in a folder", () => put("python/etc/conf", "a"), ["python"]],
    ["an executable bit", () => chmod(join(imagesDir, "python/Dockerfile"), 0o755), ["python"]],
    ["the base's Dockerfile", () => put("base/Dockerfile", "FROM base AS x"), ["base", "node", "python"]],
    ["the init program", () => put("init/main.go", "package main // x"), ["base", "node", "python"]],
    ["the README", () => put("python/README.md", "words"), []],
    ["the smoke test", () => put("python/smoke.sh", "true"), []],
    ["a test of the init program", () => put("init/main_test.go", "package main"), []],
    ["test data of the init program", () => put("init/testdata/frames.go", "package frames"), []],
    ["a new image", () => put("ruby/Dockerfile", "FROM parent").then(() => put("ruby/smoke.sh", "true")), ["ruby"]],
  ])("%s", async (_what, change, expected) => {
    expect(await changedBy(change)).toEqual(expected);
  });

  test("the reference of the Debian root", async () => {
    expect(await changedBy(async () => {}, "debian:trixie-slim")).toEqual(["base", "node", "python"]);
  });

  test("text moved from the end of one file to the start of the next", async () => {
    await put("python/a", "12");
    await put("python/b", "3");
    const move = async (): Promise<void> => {
      await put("python/a", "1");
      await put("python/b", "23");
    };
    expect(await changedBy(move)).toEqual(["python"]);
  });
});

test("the context of the base holds the sources of the init program, without its tests", async () => {
  await put("init/main_test.go", "package main");
  const { base } = await readRecipes(imagesDir, debian);
  expect(base.files.map((file) => file.path).sort()).toEqual(["Dockerfile", "init/go.mod", "init/main.go"]);
});

test("every image is smoke-tested with the base's test and its own", async () => {
  const { others } = await readRecipes(imagesDir, debian);
  expect(others.map((recipe) => recipe.smokeTest)).toEqual(["true\nnode --version", "true\npython --version"]);
});

describe("a folder that cannot be built is refused by name", () => {
  test("no base", async () => {
    await rm(join(imagesDir, "base"), { recursive: true });
    await expect(readRecipes(imagesDir, debian)).rejects.toMatchObject({
      code: "image",
      message: expect.stringContaining("base/Dockerfile"),
    });
  });

  test("no smoke test", async () => {
    await rm(join(imagesDir, "node/smoke.sh"));
    await expect(readRecipes(imagesDir, debian)).rejects.toMatchObject({
      code: "image",
      message: expect.stringContaining("node/smoke.sh"),
    });
  });

  test("no folder at all", async () => {
    const nowhere = join(imagesDir, "nowhere");
    await expect(readRecipes(nowhere, debian)).rejects.toMatchObject({
      code: "image",
      message: expect.stringContaining(nowhere),
    });
  });
});
