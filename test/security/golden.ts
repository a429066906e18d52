import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What was expected and came out otherwise, or not at all; one line each, its name first. */
export type Differences = readonly string[];

/**
 * Compares with `golden/NAME.txt`: a line a thing, its name, two spaces or more, what must be; a few may be either of two
 * (`allowed or absent`). With `TOOLX_GOLDEN=write` the file is written anew instead, and such a line is kept where it is still true.
 */
export function differencesFromGolden(name: string, seen: ReadonlyMap<string, string>): Differences {
  const path = join(import.meta.dirname, "golden", `${name}.txt`);
  const text = readFileSync(path, { encoding: "utf8", flag: "a+" });
  const golden = linesOf(text);
  if (process.env.TOOLX_GOLDEN === "write") {
    writeFileSync(
      path,
      `${[...headOf(text), ...[...seen].map(([key, value]) => lineFor(key, value, golden.get(key)))].join("\n")}\n`,
    );
    return [];
  }
  const changed = [...seen]
    .filter(([key, value]) => !isAllowed(value, golden.get(key)))
    .map(([key, value]) => `${key}: ${value}, not ${golden.get(key) ?? "expected at all"}`);
  const gone = [...golden.keys()].filter((key) => !seen.has(key)).map((key) => `${key}: nothing was said of it`);
  return [...changed, ...gone];
}

const isAllowed = (value: string, wanted: string | undefined): boolean =>
  value === wanted || (wanted?.split(" or ").includes(value) ?? false);

function lineFor(key: string, value: string, before: string | undefined): string {
  return `${key.padEnd(32)}  ${before !== undefined && isAllowed(value, before) ? before : value}`;
}

const headOf = (text: string): readonly string[] => text.split("\n").filter((line) => line.startsWith("#"));

function linesOf(text: string): ReadonlyMap<string, string> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => line.split(/ {2,}/) as [string, string]));
}
