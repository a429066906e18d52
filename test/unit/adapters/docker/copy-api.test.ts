import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const src = join(import.meta.dirname, "../../../../src");

/** dockerode's names for the engine's copy API, and the path that all of them ask for. */
const copyApi = /\b(?:putArchive|getArchive|infoArchive)\b|\/archive\b|\.copy\(\s*\{/;

// What it does in a running container has been escaped from more than once; files go over the attached stream.
test("no line of the program asks for the engine's copy API", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((name) => copyApi.test(readFileSync(join(src, name), "utf8")))).toEqual([]);
});

test.each([
  "container.putArchive(tar, { path })",
  'docker.modem.dial({ path: "/containers/x/archive?" })',
  "c.copy({ Resource })",
])("%s is such a line", (line) => expect(line).toMatch(copyApi));
