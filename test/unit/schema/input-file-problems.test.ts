import { posix } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inputFileProblems, pathProblem } from "../../../src/schema/input-file-problems.ts";

test.each([
  "a",
  "a/b.txt",
  ".hidden",
  "...",
  "a b/ü/😀",
  "-rf",
  "*",
  "a%2f..",
  "x".repeat(255),
  Array(64).fill("d").join("/"),
])("%j is a path a task can have", (path) => {
  expect(pathProblem(path)).toBeNull();
});

test.each([
  "",
  "/",
  "/etc/passwd",
  ".",
  "..",
  "../a",
  "a/..",
  "a/./b",
  "a//b",
  "a/",
  "a\\b",
  "a\0b",
  "x".repeat(256),
  Array(65).fill("d").join("/"),
  "ü".repeat(2049),
  ".toolx.py",
  ".toolx/a",
])("%j is none", (path) => {
  expect(pathProblem(path)).not.toBeNull();
});

test("a path that passes names the same place below /workspace, literally", () => {
  const part = fc.oneof(fc.constantFrom("..", ".", "", "a", "/", "\\", "\0"), fc.string());
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const path = parts.join("/");
      if (pathProblem(path) === null) expect(posix.resolve("/workspace", path)).toBe(`/workspace/${path}`);
    }),
  );
});

test("ten thousand files are looked at quickly", () => {
  const files = Array.from({ length: 10_000 }, (_, index) => ({
    path: `d/${"x/".repeat(60)}${index}`,
    content_base64: "",
  }));
  const startedAt = performance.now();
  expect(inputFileProblems(files)).toEqual([]);
  expect(performance.now() - startedAt).toBeLessThan(2000);
});
