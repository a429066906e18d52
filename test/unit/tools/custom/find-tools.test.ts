import { execFileSync } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { builtInTools, type Catalog, toolCatalog } from "../../../../src/tools/catalog.ts";
import { findTools } from "../../../../src/tools/custom/find-tools.ts";
import type { Tool } from "../../../../src/tools/tool.ts";
import { aTask } from "../../../support/samples.ts";
import { aManifest, type ToolFolders, toolFolders } from "../../../support/tool-folder.ts";

const sdk = join(import.meta.dirname, "../../../../src/sdk.ts");

async function catalogOf(folders: ToolFolders, sources: readonly string[]): Promise<Catalog> {
  const places = { toolsDir: join(folders.path, "tools"), sources, cwd: folders.path, packagesFrom: [folders.path] };
  return toolCatalog(builtInTools(), await findTools(places));
}

const names = (catalog: Catalog): readonly string[] =>
  catalog
    .list()
    .flatMap(({ name }) => (["shell", "code_interpreter", "http", "knowledge_base"].includes(name) ? [] : name));

const problems = (catalog: Catalog): readonly (readonly [string, readonly string[]])[] =>
  catalog.broken().map((broken) => [broken.name, broken.problems] as const);

const module = (tools: string): string => `import { defineTool } from ${JSON.stringify(sdk)};
const made = (name, more = {}) => defineTool({ name, description: "d", inputSchema: { type: "object", additionalProperties: false },
  outputSchema: null, images: ["shell"], runtime: null, limits: {}, retry: "safe",
  command: () => ({ image: "shell", argv: ["true"], env: {}, cwd: "/workspace", files: [] }), ...more });
export const tools = ${tools};
`;

describe("tools are found", () => {
  test("in the data folder's tools, in a folder, in a folder of folders, in a module and in a package", async () => {
    await using folders = await toolFolders();
    await folders.write("tools/a/tool.json", aManifest({ name: "a" }));
    await folders.write("tools/README.md", "not a tool");
    await folders.write("one/tool.json", aManifest({ name: "b" }));
    await folders.write("many/c/tool.json", aManifest({ name: "c" }));
    await folders.write("many/d/tool.json", aManifest({ name: "d" }));
    await folders.write("many/none/README.md", "not a tool");
    await folders.write("x.mjs", module('[made("e"), made("f")]'));
    await folders.write("node_modules/my-tools/package.json", {
      name: "my-tools",
      type: "module",
      exports: { import: "./g.js" },
    });
    await folders.write("node_modules/my-tools/g.js", module('[made("g")]'));
    await folders.write("node_modules/@my/tools/package.json", { name: "@my/tools", type: "module", main: "h.js" });
    await folders.write("node_modules/@my/tools/h.js", module('[made("h")]'));
    const catalog = await catalogOf(folders, ["./one", "./many", "./x.mjs", "my-tools", "@my/tools", "./tools/a"]);
    expect(problems(catalog)).toEqual([]);
    expect(names(catalog)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
  });

  test("and none where nothing is", async () => {
    await using folders = await toolFolders();
    expect(names(await catalogOf(folders, []))).toEqual([]);
  });
});

test("a folder's tool has its manifest's limits, command, environment and files, and the payload as a file", async () => {
  await using folders = await toolFolders();
  const limits = { timeout_seconds: 5, cpus: 0.5 };
  await folders.write("t/tool.json", aManifest({ env: { MODE: "x" }, cwd: "/tmp", limits, retry: "unsafe" }));
  await folders.write("t/files/bin/run.sh", "#!/bin/sh\n", 0o755);
  await folders.write("t/files/words.txt", "a\n");
  const catalog = await catalogOf(folders, ["./t"]);
  const tool = catalog.find("echo");
  expect(tool).toMatchObject({
    description: "Says what it is told.",
    images: ["shell"],
    outputSchema: null,
    retry: "unsafe",
  });
  expect(catalog.limitsOf("echo")).toEqual(limits);
  expect(tool.command(aTask({ payload: { text: "ü" } }))).toEqual({
    image: "shell",
    argv: ["echo", "ü"],
    env: { MODE: "x", TOOL_PAYLOAD_FILE: "/workspace/.toolx-payload.json" },
    cwd: "/tmp",
    files: [
      { path: "bin/run.sh", bytes: Buffer.from("#!/bin/sh\n"), executable: true },
      { path: "words.txt", bytes: Buffer.from("a\n"), executable: false },
      { path: ".toolx-payload.json", bytes: Buffer.from('{"text":"ü"}\n') },
    ],
  });
});

test.each(["words.txt", "words.txt/below", "bin"])(
  "a request cannot bring %s where the tool has a file",
  async (path) => {
    await using folders = await toolFolders();
    await folders.write("t/tool.json", aManifest());
    await folders.write("t/files/words.txt", "a\n");
    await folders.write("t/files/bin/run.sh", "");
    const tool = (await catalogOf(folders, ["./t"])).find("echo");
    const files = [
      { path: "other.txt", executable: false, content_base64: "" },
      { path, executable: false, content_base64: "" },
    ];
    const message = expect.stringContaining("but the tool has a file of its own at");
    expect(() => tool.command(aTask({ payload: { text: "" }, files }))).toThrow(
      expect.objectContaining({ code: "validation", details: [{ path: "/files/1/path", message }] }),
    );
  },
);

describe("a folder's tool is broken, by name, and others are not", () => {
  const schema = { type: "object", additionalProperties: false, properties: { text: {} } };

  test.each<[string, unknown, string]>([
    ["no JSON", "{", "tool.json is no JSON in UTF-8"],
    ["a list", [], "tool.json is an array, must be an object"],
    [
      "too much",
      JSON.stringify(aManifest({ description: "x".repeat(300_000) })),
      "tool.json has more than 262144 bytes",
    ],
    ["too deep", `{"name":"echo","input_schema":${"[".repeat(100)}`, "nested deeper than 64 levels"],
    ["without image", aManifest({ image: undefined }), "image is missing"],
    ["an unknown field", aManifest({ comand: [] }), "comand is no known field, did you mean command?"],
    ["a name with a slash", aManifest({ name: "../x" }), "must be 1 to 63 small letters"],
    ["a terminal's escapes", aManifest({ description: "\u001b[31m" }), "must be one line, without control characters"],
    ["no command", aManifest({ command: [] }), "command has fewer than 1 entries"],
    ["a NUL in the command", aManifest({ command: ["a\0"] }), "must not hold a NUL character"],
    ["a placeholder that leads nowhere", aManifest({ command: ["p", "{{payload.txet}}"] }), "has no txet"],
    ["a folder outside", aManifest({ cwd: "/workspace/../etc" }), "cwd is"],
    ["a taken variable", aManifest({ env: { TOOL_PAYLOAD_FILE: "x" } }), "those that begin with TOOL_ are taken"],
    ["a limit there is not", aManifest({ limits: { ram: 1 } }), "limits.ram is no known field"],
    ["a limit of nothing", aManifest({ limits: { timeout_seconds: 0 } }), "limits.timeout_seconds is 0, at least 1"],
    ["a retry there is not", aManifest({ retry: "often" }), 'must be one of "safe", "unsafe"'],
    [
      "an input that is no object",
      aManifest({ command: ["p"], input_schema: { type: "string" } }),
      'type must be "object"',
    ],
    [
      "an open input",
      aManifest({ input_schema: { ...schema, additionalProperties: undefined } }),
      "additionalProperties is missing",
    ],
    [
      "a type there is not",
      aManifest({ input_schema: { ...schema, properties: { text: { type: "text" } } } }),
      "input_schema: properties.text.type must be equal to one of the allowed values",
    ],
    ["a keyword there is not", aManifest({ input_schema: { ...schema, requierd: [] } }), 'unknown keyword: "requierd"'],
    [
      "a reference elsewhere",
      aManifest({ input_schema: { ...schema, $ref: "http://h/s" } }),
      "can't resolve reference http://h/s",
    ],
    [
      "a pattern that is none",
      aManifest({ output_schema: { type: "string", pattern: "(" } }),
      "output_schema: Invalid regular expression",
    ],
    ["checks that would be promises", aManifest({ output_schema: { $async: true } }), "$async is no keyword"],
    [
      "another dialect",
      aManifest({ output_schema: { $schema: "http://json-schema.org/draft-07/schema#" } }),
      "$schema must be",
    ],
    [
      "an example that does not fit",
      aManifest({ input_schema: { ...schema, examples: [{ txt: 1 }] } }),
      "examples[0] does not fit: txt is no known field",
    ],
  ])("%s", async (_name, manifest, message) => {
    await using folders = await toolFolders();
    await folders.write("tools/echo/tool.json", manifest);
    await folders.write("tools/good/tool.json", aManifest({ name: "good" }));
    const catalog = await catalogOf(folders, []);
    expect(catalog.broken()).toHaveLength(1);
    expect(catalog.broken()[0]?.problems.join("\n")).toContain(message);
    expect(names(catalog)).toEqual(["good"]);
    expect(catalog.find("good").name).toBe("good");
  });

  test("and using it is unknown_tool with what is wrong", async () => {
    await using folders = await toolFolders();
    await folders.write("t/tool.json", aManifest({ image: 1, retry: "often" }));
    const catalog = await catalogOf(folders, ["./t"]);
    expect(() => catalog.find("echo")).toThrow(
      expect.objectContaining({
        code: "unknown_tool",
        message: 'tool "echo" is broken: image is 1, must be a string',
        hint: expect.stringMatching(/^mend \/.*\/t, where 1 more is wrong; toolx tools validate says all of it$/),
      }),
    );
  });
});

describe("what is in files/ is refused when it is", () => {
  test.each<[string, (folders: ToolFolders) => Promise<unknown>, string]>([
    [
      "a link to a file",
      (f) => symlink("/etc/hostname", join(f.path, "t/files/h")),
      '"files/h" is a link, and links are not followed',
    ],
    ["a link to a folder", (f) => symlink("/etc", join(f.path, "t/files/etc")), '"files/etc" is a link'],
    ["a named pipe", async (f) => execFileSync("mkfifo", [join(f.path, "t/files/p")]), '"files/p" is no regular file'],
    ["a name that tools keep", (f) => f.write("t/files/.toolx-payload.json", ""), "must not begin with .toolx"],
    ["too much", (f) => f.write("t/files/big", "x".repeat(8 * 1024 * 1024 + 1)), "files/ has more than 8388608 bytes"],
    [
      "too many",
      (f) => Promise.all(Array.from({ length: 1001 }, (_, n) => f.write(`t/files/${n}`, ""))),
      "more than 1000 files",
    ],
  ])("%s", async (_name, spoil, message) => {
    await using folders = await toolFolders();
    await folders.write("t/tool.json", aManifest());
    await mkdir(join(folders.path, "t/files"));
    await spoil(folders);
    expect(problems(await catalogOf(folders, ["./t"]))).toEqual([["echo", [expect.stringContaining(message)]]]);
  });

  test("itself a link", async () => {
    await using folders = await toolFolders();
    await folders.write("t/tool.json", aManifest());
    await folders.write("elsewhere/secret", "s");
    await symlink("../elsewhere", join(folders.path, "t/files"));
    expect(problems(await catalogOf(folders, ["./t"]))).toEqual([["echo", [expect.stringContaining("link")]]]);
  });
});

test("links to a tool.json and to a tool's folder are named, not followed", async () => {
  await using folders = await toolFolders();
  const real = await folders.write("real/tool.json", aManifest());
  await mkdir(join(folders.path, "tools/linked"), { recursive: true });
  await symlink(real, join(folders.path, "tools/linked/tool.json"));
  await symlink(join(folders.path, "real"), join(folders.path, "tools/folder"));
  expect(problems(await catalogOf(folders, []))).toEqual([
    ["folder", [expect.stringContaining("it is a link, and links are not followed")]],
    ["linked", [expect.stringContaining('"tool.json" is a link')]],
  ]);
});

describe("a name belongs to one tool", () => {
  test("a built-in one keeps it, and those to come have theirs", async () => {
    await using folders = await toolFolders();
    for (const name of ["shell", "scanner", "python"])
      await folders.write(`tools/${name}/tool.json`, aManifest({ name }));
    const catalog = await catalogOf(folders, []);
    expect(problems(catalog)).toEqual([
      ["python", ["the name python is kept for a tool of the program's own"]],
      ["scanner", ["the name scanner is kept for a tool of the program's own"]],
      ["shell", ["shell is the name of a built-in tool"]],
    ]);
    expect(catalog.find("shell").description).toContain("bash");
  });

  test("of two custom tools neither has it", async () => {
    await using folders = await toolFolders();
    await folders.write("a/tool.json", aManifest());
    await folders.write("b/tool.json", aManifest());
    await folders.write("c.mjs", module('[made("twice"), made("twice")]'));
    const catalog = await catalogOf(folders, ["./a", "./b", "./c.mjs"]);
    expect(catalog.broken().map(({ name, problems }) => [name, problems[0]?.replace(folders.path, "")])).toEqual([
      ["echo", "/b brings a tool of the same name"],
      ["echo", "/a brings a tool of the same name"],
      ["twice", "/c.mjs brings a tool of the same name"],
      ["twice", "/c.mjs brings a tool of the same name"],
    ]);
    expect(() => catalog.find("echo")).toThrow(expect.objectContaining({ code: "unknown_tool" }));
  });
});

describe("a source that brings nothing is named", () => {
  test.each<[string, string, string | null, string]>([
    ["nothing", "./nowhere", null, "there is no such file or folder"],
    ["a folder without tools", "./empty", null, "no tool.json in it, nor in a folder below it"],
    ["a file of another kind", "./x.txt", "x", "it is neither a folder nor a module"],
    ["a package nobody has", "no-such-tools", null, "a path is written with a slash: ./no-such-tools"],
    ["one of Node's own modules", "fs", null, "no such package is found"],
    ["a module that throws", "./x.mjs", "throw new Error('boom')", "the module cannot be imported: boom"],
    ["a module that is no code", "./x.mjs", "(", "the module cannot be imported"],
    ["a module without tools", "./x.mjs", "export const tool = 1;", "the module exports no list named tools"],
    ["a tool that is none", "./x.mjs", "export const tools = [null];", "the tool is null, must be an object"],
    ["a tool without its parts", "./x.mjs", 'export const tools = [{ name: "x" }];', "description is missing"],
    ["a tool with a bad name", "./x.mjs", module('[made("a b")]'), "must be 1 to 63 small letters"],
    ["a tool without command", "./x.mjs", module('[{ ...made("x"), command: 1 }]'), "command is no function"],
    ["a tool with a bad schema", "./x.mjs", module('[made("x", { inputSchema: {} })]'), 'type must be "object"'],
  ])("%s", async (_name, source, content, message) => {
    await using folders = await toolFolders();
    await mkdir(join(folders.path, "empty"));
    if (content !== null) await folders.write(source, content);
    await folders.write("tools/good/tool.json", aManifest());
    const catalog = await catalogOf(folders, [source]);
    expect(
      catalog
        .broken()
        .flatMap((broken) => broken.problems)
        .join("\n"),
    ).toContain(message);
    expect(names(catalog)).toEqual(["echo"]);
  });
});

describe("what a module's tool answers is looked at", () => {
  const commandWith = (file: string): string =>
    `{ image: "shell", argv: ["a"], env: {}, cwd: "/workspace", files: [${file}] }`;
  const commandOf = (tool: Tool) => () => tool.command(aTask({ payload: {} }));

  test.each<[string, string, string]>([
    ["nothing", "() => undefined", "what it makes of the payload cannot be run"],
    [
      "a file elsewhere",
      `() => (${commandWith('{ path: "a/../../x", bytes: new Uint8Array() }')})`,
      "files[0].path is",
    ],
    ["a file of text", `() => (${commandWith('{ path: "a", bytes: "b" }')})`, "bytes of file a are no Uint8Array"],
    [
      "no arguments",
      '() => ({ image: "shell", argv: [], env: {}, cwd: "/workspace", files: [] })',
      "argv has fewer than 1",
    ],
    ["a folder of the host", '() => ({ image: "shell", argv: ["a"], env: {}, cwd: "/etc", files: [] })', "cwd is"],
    ["an error of its own", "() => { throw new TypeError('boom') }", "boom"],
  ])("%s is the module's fault", async (_name, command, message) => {
    await using folders = await toolFolders();
    await folders.write("x.mjs", module(`[made("x", { command: ${command} })]`));
    const tool = (await catalogOf(folders, ["./x.mjs"])).find("x");
    expect(commandOf(tool)).toThrow(
      expect.objectContaining({ code: "internal", message: expect.stringContaining(message) }),
    );
  });
});
