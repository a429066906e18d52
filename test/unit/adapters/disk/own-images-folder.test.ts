import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ownImagesFolder } from "../../../../src/adapters/disk/own-images-folder.ts";
import type { OwnImage } from "../../../../src/ports/own-images.ts";

const id = (digit: string): string => `sha256:${digit.repeat(64)}`;
const image = (name: string, digit = "1"): OwnImage => ({
  name,
  id: id(digit),
  source: `acme/${name}:1`,
  sourceId: id("2"),
  baseId: id("3"),
  addedAt: 1_767_225_600_000,
});

let base: string;
let folder: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "toolx-images-"));
  folder = join(base, "data", "images");
});
afterEach(() => rmSync(base, { recursive: true }));

test("an installation without added images has none, and makes no folder to know it", () => {
  const images = ownImagesFolder(folder);
  expect([images.names(), images.list(), images.find("ci"), images.remove("ci")]).toEqual([[], [], null, false]);
  expect(readdirSync(base)).toEqual([]);
});

test("what one process adds, another sees at once, in the order of names", () => {
  const [one, other] = [ownImagesFolder(folder), ownImagesFolder(folder)];
  one.put(image("ruby"));
  other.put(image("ci"));
  expect(one.names()).toEqual(["ci", "ruby"]);
  expect(other.list()).toEqual([image("ci"), image("ruby")]);
  expect(one.find("ci")).toEqual(image("ci"));
});

test("a later image takes the place of the earlier one with its name", () => {
  const images = ownImagesFolder(folder);
  images.put(image("ci", "1"));
  images.put(image("ci", "4"));
  expect(images.list()).toEqual([image("ci", "4")]);
  expect(readdirSync(folder)).toEqual(["ci.json"]);
});

test("an image that was removed is gone, and only once", () => {
  const images = ownImagesFolder(folder);
  images.put(image("ci"));
  expect([images.remove("ci"), images.remove("ci"), images.names()]).toEqual([true, false, []]);
});

test("nobody else can read or write the list", () => {
  ownImagesFolder(folder).put(image("ci"));
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, "ci.json")).mode & 0o777).toBe(0o600);
});

test("a name that is none is never a path", () => {
  const images = ownImagesFolder(folder);
  images.put(image("ci"));
  expect(images.find("../images/ci")).toBeNull();
  expect(images.remove("../images/ci")).toBe(false);
});

test("files that are no records are not looked at", () => {
  const images = ownImagesFolder(folder);
  images.put(image("ci"));
  for (const name of ["notes.txt", ".draft", "Upper.json", ".json"]) writeFileSync(join(folder, name), "x");
  expect(images.list()).toEqual([image("ci")]);
});

describe("a record that cannot be read is named", () => {
  test.each([
    ["no JSON", "nonsense"],
    ["a member missing", JSON.stringify({ ...image("ci"), id: undefined })],
    ["a tag in place of an ID", JSON.stringify({ ...image("ci"), id: "acme/ci:latest" })],
  ])("%s", (_what, text) => {
    const images = ownImagesFolder(folder);
    images.put(image("ruby"));
    writeFileSync(join(folder, "ci.json"), text);
    expect(() => images.find("ci")).toThrow(
      expect.objectContaining({ code: "internal", message: expect.stringContaining("ci.json") }),
    );
    expect(images.names()).toEqual(["ci", "ruby"]);
    expect(images.find("ruby")).toEqual(image("ruby"));
  });

  test("the record of another image", () => {
    const images = ownImagesFolder(folder);
    images.put(image("ci"));
    copyFileSync(join(folder, "ci.json"), join(folder, "shell2.json"));
    expect(() => images.find("shell2")).toThrow(/record of image ci, must be that of shell2/);
  });
});
