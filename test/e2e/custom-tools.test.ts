import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { contractOf } from "../../src/kit/contract.ts";
import { type Cli, checkout, openCli } from "../support/cli.ts";
import { aManifest } from "../support/tool-folder.ts";

let toolx: Cli;
beforeAll(async () => {
  toolx = await openCli();
});
afterEach(async () => {
  expect(await toolx.leftovers()).toEqual([]);
});
afterAll(async () => {
  await toolx[Symbol.asyncDispose]();
});

async function tool(name: string, manifest: object): Promise<string> {
  const folder = join(toolx.workDir, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tool.json"), JSON.stringify(manifest));
  return folder;
}

describe("a tool in a folder", () => {
  test("runs in its sandbox with the payload's values as they are, and the whole payload as a file", async () => {
    const command = [
      "bash",
      "-c",
      'printf "%s|" "$@"; cat "$TOOL_PAYLOAD_FILE"; echo "$MODE"',
      "bash",
      "{{payload.text}}",
    ];
    const folder = await tool("args", aManifest({ name: "args", command, env: { MODE: "tool's" } }));
    const env = { TOOL_EXECUTOR_TOOLS: folder };
    const payload = { text: "$(id) `id` ; a  b\n--help" };
    const result = await toolx.result(["run", "args", "--payload", JSON.stringify(payload)], { env });
    expect(result).toMatchObject({ status: "success", tool_name: "args", sandbox: { image: "shell" } });
    expect(result.output.stdout).toBe(`${payload.text}|${JSON.stringify(payload)}\ntool's\n`);
    const asked = await toolx.result(["run", "args", "--payload", '{"text":""}', "--env", "MODE=asked"], { env });
    expect(asked.output.stdout).toMatch(/asked\n$/);
  });

  test("has limits of its own, which a request may change and the installation bounds", async () => {
    const limits = { timeout_seconds: 7, memory_mb: 100_000 };
    const env = { TOOL_EXECUTOR_TOOLS: await tool("bounded", aManifest({ name: "bounded", limits })) };
    const own = await toolx.result(["run", "bounded", "--payload", '{"text":""}'], { env });
    expect(own.sandbox?.limits).toMatchObject({ timeout_seconds: 7, memory_mb: 16_384 });
    const asked = await toolx.result(["run", "bounded", "--timeout", "9", "--payload", '{"text":""}'], { env });
    expect(asked.sandbox?.limits.timeout_seconds).toBe(9);
  });

  test("must leave the value that its output schema asks for", async () => {
    const manifest = aManifest({ name: "promising", output_schema: { type: "integer" } });
    const env = { TOOL_EXECUTOR_TOOLS: await tool("promising", manifest) };
    const result = await toolx.result(["run", "promising", "--payload", '{"text":"no value"}'], { env });
    expect(result).toMatchObject({ status: "failed", reason: "result_invalid", output: { value: null } });
  });

  test("is refused, with nothing stored, for an image that is not allowed", async () => {
    const env = { TOOL_EXECUTOR_TOOLS: await tool("foreign", aManifest({ name: "foreign", image: "debian" })) };
    const end = await toolx.run(["run", "foreign", "--payload", '{"text":""}'], { env });
    expect(end.stderr).toMatch(/policy_denied: image "debian" is not allowed; allowed: shell/);
    expect(end.code).toBe(2);
  });
});

test("a module's tool runs with the files it makes of the payload", async () => {
  await mkdir(join(toolx.workDir, "mod/node_modules"), { recursive: true });
  await symlink(checkout, join(toolx.workDir, "mod/node_modules/tool-executor"));
  // The very module that the page shows.
  const page = await readFile(join(checkout, "docs/tools.md"), "utf8");
  const [, source = ""] = /^### A module\n.*?^```js\n(.*?)^```$/ms.exec(page) ?? [];
  await writeFile(join(toolx.workDir, "mod/tools.mjs"), source);
  const payload = JSON.stringify({ query: ".a[1]", json: '{"a":[1,"--two"]}' });
  const result = await toolx.result(["run", "json_query", "--payload", payload], {
    env: { TOOL_EXECUTOR_TOOLS: "./mod/tools.mjs" },
  });
  expect(result).toMatchObject({ status: "success", output: { stdout: '"--two"\n' } });
});

describe("a broken tool", () => {
  test("is named on stderr by ls, and the others are listed and run", async () => {
    await tool("mixed/good", aManifest({ name: "good" }));
    await tool("mixed/bad", aManifest({ name: "bad", input_schema: { type: "objekt" } }));
    const env = { TOOL_EXECUTOR_TOOLS: join(toolx.workDir, "mixed") };
    const list = await toolx.run(["tools", "ls"], { env });
    expect(list.code).toBe(0);
    expect(list.stdout).toMatch(/^code_interpreter .*\ngood .*\nhttp .*\nknowledge_base .*\nshell /m);
    expect(list.stdout).not.toMatch(/^bad/m);
    expect(list.stderr).toMatch(/^toolx: broken tool bad \(.*\/mixed\/bad\): command\[1\] is .* has no text\n$/);
    const ran = await toolx.run(["run", "good", "--payload", '{"text":"hi"}'], { env });
    expect(ran).toMatchObject({ code: 0, stdout: "hi\n" });
    const refused = await toolx.run(["run", "bad", "--payload", "{}"], { env });
    expect(refused.stderr).toMatch(/unknown_tool: tool "bad" is broken: .*\n {2}hint: mend .*mixed\/bad/);
    expect(refused.code).toBe(2);
  });

  test("is what validate finds, each thing on a line, with 2", async () => {
    await tool("checked/a", aManifest({ name: "a" }));
    await tool("checked/b", aManifest({ name: "b", image: "debian" }));
    await tool(
      "checked/c",
      aManifest({ name: "c", input_schema: { type: "object", properties: { text: {} } }, retry: "x" }),
    );
    const end = await toolx.run(["tools", "validate", "checked", "nowhere"]);
    expect(end.stdout.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^broken tool c \(.*\/checked\/c\): retry is "x", must be one of "safe", "unsafe"$/),
      expect.stringMatching(/^broken tool nowhere \(nowhere\): no such package is found/),
      "ok a: schemas, 1 example payload, image",
      expect.stringMatching(/^tool b: image debian is not allowed; allowed: shell/),
    ]);
    expect(end.code).toBe(2);
    expect((await toolx.run(["tools", "validate", "checked/a"])).code).toBe(0);
  });
});

describe("tools new", () => {
  test("makes a tool that is found, described and runs without a setting", async () => {
    const made = await toolx.run(["tools", "new", "fresh"]);
    expect(made).toMatchObject({ code: 0, stdout: `${join(toolx.dataDir, "tools/fresh")}\n`, stderr: "" });
    expect((await toolx.run(["tools", "validate"])).stdout).toBe("ok fresh: schemas, 1 example payload, image\n");
    const described = await toolx.run(["tools", "describe", "fresh"]);
    expect(JSON.parse(described.stdout)).toMatchObject({ name: "fresh", images: ["shell"], retry: "safe" });
    const result = await toolx.result(["run", "fresh", "--payload", '{"text":"a b\\n"}']);
    expect(result).toMatchObject({ reason: "ok", output: { value: { lines: 1, words: 2, bytes: 4 } } });
  });

  test.each([
    [["tools", "new", "../x"], /tool name is "\.\.\/x"; allowed: must be 1 to 63 small letters/],
    [["tools", "new", "shell"], /tool name is "shell"; allowed: a name that no tool has/],
    [["tools", "new", "taken", "--dir", "."], /one whose folder is not there yet \(.*\/taken is\)/],
  ] as const)("%j is refused, and nothing is changed", async (args, message) => {
    await mkdir(join(toolx.workDir, "taken"), { recursive: true });
    const end = await toolx.run(args);
    expect(end).toMatchObject({ code: 2, stdout: "" });
    expect(end.stderr).toMatch(message);
    expect(await readdir(join(toolx.workDir, "taken"))).toEqual([]);
  });
});

describe("the contract test", () => {
  const node = join(checkout, "node_modules/.bin/node");
  const contract = async (folder: string): Promise<string> => {
    const run = promisify(execFile)(node, ["--test", join(folder, "tool.test.mjs")], { env: toolx.env });
    return (await run.catch((failed: { readonly stdout: string }) => failed)).stdout;
  };

  test("fails for a tool that does not keep its word, and says which", async () => {
    await toolx.run(["tools", "new", "liar", "--dir", "."]);
    const folder = join(toolx.workDir, "liar");
    const path = join(folder, "tool.json");
    const manifest = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...manifest, command: ["true", "{{payload.text}}"] }));
    const output = await contract(folder);
    expect(output).toMatch(/✖ liar: call 1 succeeds with a valid value/);
    expect(output).toContain("result_invalid");
    expect(output).toMatch(/✔ liar: ends as timeout at its time limit/);
    expect(output).toMatch(/^ℹ fail 1$/m);
  });

  test("takes further calls and refusals, for any runner", async () => {
    const input_schema = { type: "object", additionalProperties: true, properties: { text: { type: "string" } } };
    const folder = await tool("open", aManifest({ name: "open", input_schema, command: ["cat", "in.txt"] }));
    await expect(contractOf(folder)).rejects.toThrow(
      "tool open: give its input schema examples, or the contract test calls",
    );
    const seen: string[] = [];
    const files = [{ path: "in.txt", content_base64: Buffer.from("given").toString("base64") }];
    const cases = await contractOf(folder, {
      calls: [{ payload: { text: "a", other: 1 }, files }],
      refused: [{ text: 1 }, { text: "taken after all" }],
      check: ({ output }) => void seen.push(output.stdout),
    });
    const named = (part: string) => cases.find(({ name }) => name.includes(part))?.check();
    expect(cases.some(({ name }) => name.includes("unknown field"))).toBe(false);
    await named("call 1 succeeds");
    expect(seen).toEqual(["given"]);
    await named("refuses payload 1");
    await expect(named("refuses payload 2")).rejects.toThrow("it was taken, and ended as nonzero_exit");
  });

  test("fails when something is left behind", async () => {
    const temporary = join(toolx.workDir, "temporary");
    await mkdir(temporary);
    const sdk = JSON.stringify(join(checkout, "src/sdk.ts"));
    // Its command, which is made in the executor's process, leaves a file in the scratch folder of the test that runs it.
    const source = `import { readdirSync, writeFileSync } from "node:fs";
import { defineTool } from ${sdk};
const litter = () => {
  for (const base of readdirSync(${JSON.stringify(temporary)}))
    writeFileSync(${JSON.stringify(temporary)} + "/" + base + "/scratch/litter", "");
  return { image: "shell", argv: ["true"], env: {}, cwd: "/workspace", files: [] };
};
export const tools = [defineTool({ name: "messy", description: "d", outputSchema: null, images: ["shell"], runtime: null,
  inputSchema: { type: "object", additionalProperties: false, examples: [{}] }, limits: {}, retry: "safe", command: litter })];
`;
    const module = join(toolx.workDir, "messy.mjs");
    await writeFile(module, source);
    vi.stubEnv("TMPDIR", temporary);
    onTestFinished(() => void vi.unstubAllEnvs());
    const [first] = await contractOf(module);
    await expect(first?.check()).rejects.toThrow(/left behind.*litter/s);
    expect(await readdir(temporary)).toEqual([]);
  });

  test("fails for a broken tool with all that is wrong", async () => {
    await toolx.run(["tools", "new", "wreck", "--dir", "."]);
    const folder = join(toolx.workDir, "wreck");
    await writeFile(join(folder, "tool.json"), JSON.stringify(aManifest({ name: "wreck", retry: "x", image: 7 })));
    const output = await contract(folder);
    expect(output).toContain('wreck: retry is "x"');
    expect(output).toContain("wreck: image is 7");
  });
});
