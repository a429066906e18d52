import { expect, test } from "vitest";
import { summaryLines } from "../../../src/cli/summary.ts";
import type { JsonValue } from "../../../src/model/task.ts";
import { aResult } from "../../support/samples.ts";

const withValue = (value: JsonValue): readonly string[] =>
  summaryLines(aResult({ output: { ...aResult().output, value } })).slice(1);

test.each<[string, JsonValue, readonly string[]]>([
  ["nothing", null, []],
  ["a number", 42, ["  value: 42"]],
  ["a small object, on one line", { a: [1, "x"] }, ['  value: {"a":[1,"x"]}']],
  ["a text, as it reads", "two\nlines", ["  value:", "    two", "    lines"]],
  ["a text that would steer a terminal", "a\x1b[2Jb\u202e", ["  value: a\\x1b[2Jb\\u202e"]],
])("the value of a task that is %s", (_what, value, lines) => {
  expect(withValue(value)).toEqual(lines);
});

test("a large value is cut after 20 lines, and a long line after 200 characters", () => {
  const lines = withValue(Array.from({ length: 50 }, () => "x".repeat(300)));
  expect(lines).toHaveLength(22);
  expect(lines[2]).toBe(`      "${"x".repeat(197)}…`);
  expect(lines[21]).toBe("    … and 32 more lines");
});

test("files that are to be looked at come first", () => {
  const artifact = (path: string) => ({
    path,
    mime: "text/plain",
    size_bytes: 1,
    sha256: "0".repeat(64),
    url: path,
    secrets: [],
  });
  const output = {
    ...aResult().output,
    artifacts: [artifact("a.csv"), artifact("b.png"), artifact("c.txt")],
    results: [{ mime: "image/png", artifact: "b.png" }],
  };
  expect(summaryLines(aResult({ output })).slice(1)).toEqual([
    ...["  b.png  1 B", "  a.csv  1 B", "  c.txt  1 B"],
    "  get them: toolx artifacts pull t-1",
  ]);
});
