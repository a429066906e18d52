import { describe, expect, test } from "vitest";
import { cleanExit, type Exit } from "../../../src/model/exit.ts";
import type { JsonObject } from "../../../src/model/task.ts";
import { builtInTools, toolCatalog } from "../../../src/tools/catalog.ts";
import { defineTool, maxResultJsonBytes } from "../../../src/tools/define-tool.ts";
import { retryClass, type Tool } from "../../../src/tools/tool.ts";
import { aTask } from "../../support/samples.ts";

const catalog = toolCatalog(builtInTools());
const command = (tool: string, payload: JsonObject) => catalog.find(tool).command(aTask({ tool_name: tool, payload }));
const exit: Exit = { ...cleanExit, runUs: 1 };

describe("the catalog", () => {
  test("lists its tools by name", () => {
    expect(catalog.list().map(({ name }) => name)).toEqual(["code_interpreter", "http", "knowledge_base", "shell"]);
  });

  test.each([
    ["shel", 'no tool is named "shel"; there are code_interpreter, http, knowledge_base, shell', "did you mean shell?"],
    ["\u001b[31m", 'no tool is named "\\u001b[31m"', "toolx tools ls lists the tools"],
    ["scanner", 'tool "scanner" is not built yet', "scanner comes with a later version"],
    ["__proto__", 'no tool is named "__proto__"', "toolx tools ls lists the tools"],
  ])("has no %j, and says what there is", (name, message, hint) => {
    expect(() => catalog.find(name)).toThrow(
      expect.objectContaining({ code: "unknown_tool", message: expect.stringContaining(message), hint }),
    );
  });

  test("takes no two tools of one name", () => {
    expect(() => toolCatalog([...builtInTools(), ...builtInTools()])).toThrow("two tools with one name");
  });
});

describe("shell", () => {
  test("gives a command line to bash", () => {
    expect(command("shell", { command: "echo hi; ls" })).toEqual({
      image: "shell",
      argv: ["bash", "-c", "--", "echo hi; ls"],
      env: {},
      cwd: "/workspace",
      files: [],
    });
  });

  test("runs an argv as it is, without a shell", () => {
    expect(command("shell", { argv: ["git", "--version", "", "$HOME"], cwd: "/tmp/a b/" })).toMatchObject({
      argv: ["git", "--version", "", "$HOME"],
      cwd: "/tmp/a b/",
    });
  });
});

describe("knowledge_base", () => {
  const payload = { query: '"it\'s" $HOME -x', collection: "docs", tags: ["a"], limit: 3 };

  test("puts the request into a file, for a program that asks the host; no tenant, no address is in it", () => {
    const asked = command("knowledge_base", payload);
    expect(asked).toMatchObject({
      image: "shell",
      argv: ["bash", "/workspace/.toolx-ask.sh"],
      env: {},
      calls: ["knowledge_base"],
    });
    const [program, request] = asked.files.map(({ bytes }) => Buffer.from(bytes).toString());
    expect(JSON.parse(request ?? "")).toEqual(payload);
    expect(program).toContain('"$TOOL_CALL_URL/knowledge_base"');
    expect(JSON.stringify(asked)).not.toContain("acme");
  });

  test("refuses a request that brings a file to the place of one of its own", () => {
    const files = [{ path: ".toolx-request.json", executable: false, content_base64: "" }];
    const task = aTask({ tool_name: "knowledge_base", payload, files });
    expect(() => catalog.find("knowledge_base").command(task)).toThrow("the tool has a file of its own at");
  });

  test("has answers as its value, and nothing else", () => {
    const tool = catalog.find("knowledge_base");
    const value = { query: "x", matched: "none", more: false, answers: [] };
    expect(tool.value(exit, Buffer.from(JSON.stringify(value)))).toEqual(value);
    expect(() => tool.value(exit, Buffer.from("{}"))).toThrow(expect.objectContaining({ code: "result_invalid" }));
    expect(() => tool.value(exit, null)).toThrow(expect.objectContaining({ code: "result_invalid" }));
  });
});

describe("a payload that does not fit is refused with its path", () => {
  test.each<[string, JsonObject, string, string]>([
    ["shell", {}, "/payload", "payload must have exactly one of command (a shell line) and argv"],
    ["shell", { command: "a", argv: ["b"] }, "/payload", "exactly one of"],
    ["shell", { comand: "a" }, "/payload/comand", "did you mean command?"],
    ["shell", { command: "" }, "/payload/command", "payload.command is empty"],
    ["shell", { command: 1 }, "/payload/command", "payload.command is 1, must be a string"],
    ["shell", { command: "a\0" }, "/payload/command", "must not hold a NUL character"],
    ["shell", { command: "ü".repeat(65_536) }, "/payload/command", "is 131072 bytes long, at most 131071"],
    ["shell", { argv: [] }, "/payload/argv", "has fewer than 1 entries"],
    ["shell", { argv: ["a", null] }, "/payload/argv/1", "payload.argv[1] is null, must be a string"],
    ["shell", { argv: Array(1001).fill("a") }, "/payload/argv", "has 1001 entries, at most 1000"],
    ...[
      "/",
      "/etc",
      "/workspace/../etc",
      "/tmp/.",
      "workspace",
      "/workspacex",
      "/proc/self/fd/7",
      "/output//a",
      "",
    ].map((cwd): [string, JsonObject, string, string] => [
      "shell",
      { command: "a", cwd },
      "/payload/cwd",
      "must be /workspace, /tmp, /output",
    ]),
    ["code_interpreter", { language: "python" }, "/payload/code", "payload.code is missing"],
    [
      "code_interpreter",
      { language: "ruby", code: "" },
      "/payload/language",
      'is "ruby", must be one of "python", "node"',
    ],
    ["code_interpreter", { language: "node", code: "", args: ["\0"] }, "/payload/args/0", "must not hold a NUL"],
    ["knowledge_base", {}, "/payload/query", "payload.query is missing"],
    ["knowledge_base", { query: "x", tenant_id: "other" }, "/payload/tenant_id", "is no known field"],
    ["knowledge_base", { query: "é".repeat(513) }, "/payload/query", "is 1026 bytes long, at most 1024"],
    ["knowledge_base", { query: "x", limit: 51 }, "/payload/limit", "at most 50"],
    ["knowledge_base", { query: "x", collection: "../x" }, "/payload/collection", "must be 1 to 63 letters"],
  ])("%s %j", (tool, payload, path, message) => {
    const refusal = expect.objectContaining({
      code: "validation",
      details: expect.arrayContaining([{ path, message: expect.stringContaining(message) }]),
    });
    expect(() => command(tool, payload)).toThrow(refusal);
  });
});

describe("the value a task leaves", () => {
  const shell = catalog.find("shell");
  const value = (tool: Tool, text: string) => tool.value(exit, Buffer.from(text));

  test("is null when it left none, and otherwise its JSON, numbers as they are", () => {
    expect(shell.value(exit, null)).toBeNull();
    expect(value(shell, ' {"a": [1, -0.0, 1700000000000000000]}\n')).toEqual({ a: [1, -0, 1_700_000_000_000_000_000] });
  });

  test.each([
    ["no JSON", "{", "result.json is no JSON in UTF-8"],
    ["a prototype", '{"__proto__": {}}', "__proto__ is a name no field may have"],
    ["a hundred thousand lists", "[".repeat(100_000), "nested deeper than 64 levels"],
    ["too many bytes", " ".repeat(maxResultJsonBytes + 1), "at most 1048576"],
    ["infinity", "1e999", "is a number too large to hold"],
    ["nothing", "", "result.json is no JSON"],
  ])("is refused when it is %s", (_name, text, message) => {
    expect(() => value(shell, text)).toThrow(
      expect.objectContaining({ code: "result_invalid", message: expect.stringContaining(message) }),
    );
  });

  test("fits the tool's own output schema, also when there is none", () => {
    const counting = defineTool({ ...shell, outputSchema: { type: "object", required: ["count"] } });
    expect(value(counting, '{"count": 1}')).toEqual({ count: 1 });
    const missing = { code: "result_invalid", message: "count is missing" };
    expect(() => value(counting, "{}")).toThrow(expect.objectContaining(missing));
    const none = { code: "result_invalid", message: "result.json is null, must be an object" };
    expect(() => counting.value(exit, null)).toThrow(expect.objectContaining(none));
  });
});

test.each([
  ["safe", "safe", "safe"],
  ["safe", "unsafe", "unsafe"],
  ["unsafe", "safe", "unsafe"],
  ["unsafe", "unsafe", "unsafe"],
] as const)("a %s tool asked as %s is %s", (ofTool, ofTask, counts) => {
  expect(retryClass({ ...catalog.find("shell"), retry: ofTool }, aTask({ retry: ofTask }))).toBe(counts);
});
