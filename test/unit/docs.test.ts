import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable, Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { runCli } from "../../src/cli/program.ts";
import { reasonTable } from "../../src/model/failure.ts";
import { defaultLimitRules } from "../../src/model/limits.ts";
import type { JsonObject } from "../../src/model/task.ts";
import { metrics } from "../../src/observe/metrics.ts";
import { resultSchema } from "../../src/schema/result-schema.ts";
import { taskParser } from "../../src/schema/task-parser.ts";
import { taskSchema } from "../../src/schema/task-schema.ts";
import { validator } from "../../src/schema/validator.ts";
import { builtInTools, toolCatalog } from "../../src/tools/catalog.ts";
import { manifestSchema } from "../../src/tools/custom/manifest-schema.ts";
import { settingsTable } from "../support/settings-table.ts";

const checkout = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(checkout, path), "utf8");

/** The cells of every table row whose first cell is a word in backticks. */
function rows(markdown: string): readonly (readonly string[])[] {
  return markdown
    .split("\n")
    .filter((line) => /^\| `\w+` \|/.test(line))
    .map((line) => line.split("|").slice(1, -1).map(plain));
}

const plain = (cell: string): string => cell.trim().replaceAll("`", "");

/** The text from one heading to the next of the same level. */
function section(markdown: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0] ?? "#";
  const start = markdown.indexOf(`\n${heading}\n`);
  expect(start, `heading ${heading}`).toBeGreaterThan(0);
  const rest = markdown.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^#{1,${level.length}} `, "m"));
  return end === -1 ? rest : rest.slice(0, end);
}

const jsonBlocks = (markdown: string): readonly unknown[] =>
  [...markdown.matchAll(/^```json\n(.*?)^```$/gms)].map(([, block = ""]) => JSON.parse(block));

const parseTask = taskParser({
  limitRules: defaultLimitRules,
  hostCpus: 64,
  maxBytes: 1024 * 1024,
  toolLimits: () => ({}),
  now: () => 0,
});

test("docs/failures.md has the reason table of the code, in its order", () => {
  const said = rows(read("docs/failures.md")).filter((cells) => cells.length === 6);
  const known = Object.entries(reasonTable).map(([reason, { status, retryable, httpStatus, cliExit, deadLetter }]) => [
    ...[reason, status ?? "–", retryable ? "yes" : "no"],
    ...[String(httpStatus), String(cliExit), deadLetter ? "yes" : "no"],
  ]);
  expect(said).toEqual(known);
});

test("docs/failures.md tells of every reason what it means", () => {
  const said = rows(section(read("docs/failures.md"), "## What each means, and what to do")).map(([reason]) => reason);
  expect(said).toEqual(Object.keys(reasonTable));
});

test("docs/operations.md names every setting, and none that there is not", () => {
  const text = section(read("docs/operations.md"), "## Settings");
  const { settings } = loadConfig("/nowhere", { TOOL_EXECUTOR_DATA: "/nowhere" });
  const names = settings.map(({ name }) => name);
  const said = [...text.matchAll(/^\|.*$/gm)].flatMap(([line]) =>
    [...line.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name = ""]) => name),
  );
  expect([...new Set(said)].sort()).toEqual([...names].sort());
});

test("docs/operations.md has the table of all settings as the schema makes it", () => {
  const [begin, end] = ["<!-- made by the schema -->\n", "\n<!-- end -->"];
  const path = "docs/operations.md";
  const [before = "", rest = ""] = read(path).split(begin);
  const [said = "", after = ""] = rest.split(end);
  if (process.env.TOOLX_DOCS === "write")
    writeFileSync(join(checkout, path), `${before}${begin}${settingsTable()}${end}${after}`);
  else expect(said).toBe(settingsTable());
});

test("docs/operations.md names every metric of ours, and none that there is not", async () => {
  const counted = metrics();
  counted.gauges({
    warm: () => ({ ready: 2, starting: 1 }),
    running: () => 0,
    slots: () => 0,
    droppedLogEntries: () => 0,
    droppedSpans: () => 0,
    missing: async () => ["store"],
    diskFree: async () => ({ data: 1 }),
    outboxAgeMs: async () => 0,
    lag: () => ({ tools: 3, control: 0 }),
  });
  const known = [...(await counted.text()).matchAll(/^# TYPE (tool_executor_\w+) /gm)].map(([, name]) => name);
  const said = [...section(read("docs/operations.md"), "## Watching it").matchAll(/`(tool_executor_\w+)`/g)];
  expect([...new Set(said.map(([, name]) => name))].sort()).toEqual(known.sort());
});

describe("the limits", () => {
  const known = Object.entries(defaultLimitRules);

  test("stand in docs/wire.md with default and bounds", () => {
    const said = rows(section(read("docs/wire.md"), "### Limits")).map((cells) => [cells[0], ...cells.slice(2, 5)]);
    expect(said).toEqual(
      known.map(([name, { byDefault, min, max }]) => [name, String(byDefault), String(min), String(max)]),
    );
  });

  test("stand in README.md with default and maximum", () => {
    const table = section(read("README.md"), "## Limits");
    for (const [name, { byDefault, max }] of known) {
      const line = table.split("\n").find((each) => each.startsWith(`| \`${name}\``));
      const [, , saidDefault, saidMax] = (line ?? "").split("|").map(plain);
      expect([name, saidDefault, saidMax?.split(",")[0]]).toEqual([name, String(byDefault), String(max)]);
    }
  });
});

describe("docs/wire.md", () => {
  const text = read("docs/wire.md");
  const request = section(text, "## Request");
  const result = section(text, "## Result");

  test("shows a request that is one", () => {
    expect(parseTask(jsonBlocks(request)[0])).toMatchObject({ tenant_id: "acme", priority: 5 });
  });

  test("shows a result that is one", () => {
    const check = validator(resultSchema, { subject: "result", at: "", code: "internal" });
    expect(() => check(jsonBlocks(result)[0])).not.toThrow();
  });

  test("names every field of a request and of a result", () => {
    const nameless = (markdown: string, schema: JsonObject): readonly string[] =>
      fieldsOf(schema).filter((name) => !markdown.includes(`\`${name}\``));
    expect(nameless(request, taskSchema(defaultLimitRules, 64))).toEqual([]);
    // The result's limits are the request's.
    expect(nameless(request + result, resultSchema)).toEqual([]);
  });
});

/** The names of all members a schema describes, however deep. */
function fieldsOf(schema: JsonObject): readonly string[] {
  const names = Object.keys((schema.properties ?? {}) as JsonObject);
  const inner = [...Object.values((schema.properties ?? {}) as JsonObject), schema.items ?? {}];
  return [...names, ...inner.flatMap((each) => fieldsIn(each))];
}

const fieldsIn = (value: unknown): readonly string[] =>
  typeof value === "object" && value !== null && ("properties" in value || "items" in value)
    ? fieldsOf(value as JsonObject)
    : [];

describe("docs/tools.md", () => {
  const text = read("docs/tools.md");
  const catalog = toolCatalog(builtInTools());

  test("shows calls that the tools take", () => {
    const calls = jsonBlocks(text).map((call) => parseTask(call));
    expect(calls.length).toBeGreaterThanOrEqual(4);
    for (const call of calls) expect(catalog.find(call.tool_name).command(call).argv).not.toEqual([]);
  });

  test.each(catalog.list().map((tool) => [tool.name, tool] as const))("names every field of %s", (name, tool) => {
    const part = section(text, `## ${name}`);
    for (const field of fieldsOf(tool.inputSchema)) expect(part).toContain(`| \`${field}\` |`);
    for (const field of fieldsOf(tool.outputSchema ?? {})) expect(part).toContain(`"${field}": `);
  });
});

test("docs/tool.schema.json is the schema of a tool.json, and docs/tools.md names each field", () => {
  expect(JSON.parse(read("docs/tool.schema.json"))).toEqual(manifestSchema);
  const said = rows(section(read("docs/tools.md"), "### tool.json")).map(([field]) => field);
  const fields = Object.keys(manifestSchema.properties as JsonObject).filter((field) => field !== "$schema");
  expect([...said].sort()).toEqual(fields.sort());
});

describe("docs/cli.md", () => {
  const text = read("docs/cli.md");

  test("names every flag of run", async () => {
    const flags = [...(await helpOf("run")).matchAll(/ (--[a-z-]+)/g)].map(([, flag = ""]) => flag);
    expect(flags.length).toBeGreaterThan(20);
    expect(flags.filter((flag) => flag !== "--help" && !text.includes(flag))).toEqual([]);
  });

  test("names every command", async () => {
    const verbs = async (...group: readonly string[]): Promise<readonly string[]> =>
      [...(await helpOf(...group)).matchAll(/^ {2}([a-z]+)[ \n]/gm)].map(([, verb = ""]) => [...group, verb].join(" "));
    const groups = ["artifacts", "tools", "images", "config", "keys", "dlq", "knowledge"];
    const all = [...(await verbs()), ...(await Promise.all(groups.map((group) => verbs(group)))).flat()];
    expect(all).toContain("artifacts pull");
    const commands = all.filter((verb) => !verb.endsWith("help") && !groups.includes(verb));
    expect(commands.filter((verb) => !text.includes(`\`toolx ${verb}`))).toEqual([]);
  });
});

async function helpOf(...command: readonly string[]): Promise<string> {
  let printed = "";
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      printed += String(chunk);
      done();
    },
  });
  const io = { stdin: Readable.from([]), stdout, stderr: stdout, env: {}, cwd: checkout };
  const interrupt = new AbortController().signal;
  await runCli([...command, "--help"], { io: { ...io, interrupt }, programDir: checkout });
  return printed;
}

describe("every path in the documents is there", () => {
  const inFolder = (folder: string): readonly string[] =>
    readdirSync(join(checkout, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(folder, name));
  const imageFolders = readdirSync(join(checkout, "sandbox-images")).map((name) => join("sandbox-images", name));
  const documents = [...inFolder("."), ...inFolder("docs"), ...inFolder("docs/decisions")];
  const all = [
    ...documents,
    ...imageFolders.flatMap(inFolder),
    "sandbox-images/init/testdata/README.md",
    "test/services/README.md",
  ];

  test.each(all)("%s: its links", (path) => {
    const prose = read(path).replaceAll(/^```.*?^```$/gms, "");
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    const broken = links.filter((target) => !/^[a-z]+:/.test(target) && !isThere(path, target));
    expect(broken).toEqual([]);
  });

  test.each(documents)("%s: what it names of the checkout", (path) => {
    const named = [...read(path).matchAll(/`((?:src|test|docs|scripts|examples|sandbox-images)\/[\w./-]+)`/g)];
    expect(named.map(([, each = ""]) => each).filter((each) => !existsSync(join(checkout, each)))).toEqual([]);
  });

  test("each promise names a test or bench, or says that it is pending", () => {
    const promises = read("docs/promises.md")
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| promise "));
    expect(promises.length).toBeGreaterThan(30);
    const shows = /`(?:test|scripts|sandbox-images)\/[\w./-]+`|test pending/;
    expect(promises.filter((line) => !shows.test(line.split("|").at(-2) ?? ""))).toEqual([]);
  });
});

/** A link from one document: its file, and where it has one its heading. */
function isThere(path: string, target: string): boolean {
  const [file = "", anchor] = target.split("#");
  const document = file === "" ? path : join(dirname(path), file);
  if (!existsSync(join(checkout, document))) return false;
  return anchor === undefined || anchorsOf(read(document)).includes(anchor);
}

/** Headings as the places that render them name them, and anchors that were set by hand. */
function anchorsOf(markdown: string): readonly string[] {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
  const set = [...markdown.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id);
  return [...headings, ...set];
}
