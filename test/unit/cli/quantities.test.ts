import { describe, expect, test } from "vitest";
import { parseMegabytes, parseNumber, parseSeconds } from "../../../src/cli/quantities.ts";

test.each<[string, number]>([
  ["30s", 30],
  ["2m", 120],
  ["1h", 3600],
  ["1m30s", 90],
  ["45", 45],
  ["0.2s", 1],
])("%s is %i seconds", (text, seconds) => {
  expect(parseSeconds("--timeout", text)).toBe(seconds);
});

test.each<[string, number]>([
  ["256m", 256],
  ["2g", 2048],
  ["512MiB", 512],
  ["64", 64],
  ["1k", 1],
])("%s is %i MiB", (text, megabytes) => {
  expect(parseMegabytes("--memory", text)).toBe(megabytes);
});

describe("a bad value names the flag, the value and what was allowed", () => {
  test.each<[string, () => unknown]>([
    ["--timeout", () => parseSeconds("--timeout", "soon")],
    ["--timeout", () => parseSeconds("--timeout", "")],
    ["--timeout", () => parseSeconds("--timeout", "-1")],
    ["--memory", () => parseMegabytes("--memory", "lots")],
    ["--cpus", () => parseNumber("--cpus", "NaN")],
    ["--cpus", () => parseNumber("--cpus", "0x10")],
  ])("%s", (flag, parse) => {
    expect(parse).toThrow(new RegExp(`^${flag} is ".*"; allowed: `));
  });
});
