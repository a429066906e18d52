import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { codeInterpreterTool } from "../../../src/tools/code_interpreter/code-interpreter.ts";
import { runnerNotes } from "../../../src/tools/code_interpreter/notes.ts";
import { aTask } from "../../support/samples.ts";

describe("code_interpreter", () => {
  test.each([
    [
      "python",
      ["python3", "/workspace/.toolx-run.py", "30", "256", "/workspace/.toolx.py", "a", "b"],
      ".toolx.py",
      "py",
    ],
    ["node", ["node", "--require", "/workspace/.toolx-run.cjs", "/workspace/.toolx.js", "a", "b"], ".toolx.js", "cjs"],
  ])("puts a %s program and its runner in files beside the request's", (language, argv, path, ending) => {
    const task = aTask({ payload: { language, code: "print('ü')", args: ["a", "b"] } });
    const command = codeInterpreterTool().command(task);
    expect(command).toMatchObject({ image: language, argv, cwd: "/workspace" });
    expect(command.env).toEqual(language === "python" ? { PYTHONUNBUFFERED: "1" } : {});
    expect(command.files[0]).toEqual({ path, bytes: Buffer.from("print('ü')") });
    for (const file of command.files) expect(file.path).toMatch(/^\.toolx[.-]/);
    expect(command.files.slice(1).every((file) => file.path.endsWith(ending) && file.bytes.length > 0)).toBe(true);
  });
});

describe("notes", () => {
  const { read, maxBytes } = runnerNotes();
  const figure = { mime: "image/png", artifact: "figure-1.png" };

  test("are a value and what is to be shown", () => {
    const notes = { value: { a: [1] }, results: [figure] };
    expect(read(Buffer.from(JSON.stringify(notes)))).toEqual(notes);
  });

  test.each([
    ["nothing", ""],
    ["cut", '{"value": 1'],
    ["too large", `{"value": "${"x".repeat(maxBytes)}", "results": []}`],
    ["too deep", `{"value": ${"[".repeat(70)}${"]".repeat(70)}, "results": []}`],
    ["a prototype", '{"value": {"__proto__": 1}, "results": []}'],
    ["without results", '{"value": 1}'],
    ["of a kind that is not shown", '{"value": 1, "results": [{"mime": "text/html", "artifact": "a"}]}'],
    ["too many", JSON.stringify({ value: 1, results: Array(33).fill(figure) })],
    ["no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
  ])("that are %s are none", (_what, text) => {
    expect(read(Buffer.from(text))).toBeNull();
  });
});

describe("the last expression of a Node program", () => {
  const path = join(import.meta.dirname, "../../../src/tools/code_interpreter/runner/split.cjs");
  const { noting } = createRequire(import.meta.url)(path) as { noting(source: string, name: string): string | null };

  test.each([
    ["the whole program", "6*7", "$=6*7"],
    ["after a semicolon", "let x = 5; x * 2;", "let x = 5; $=x * 2;"],
    ["on the next line", "let x = 5;\nx\n", "let x = 5;$=\nx\n"],
    ["after a line without a semicolon", "let x = 5\nx", "let x = 5;$=\nx"],
    ["after an empty line", "let x = 5;\n\nx", "let x = 5;\n$=\nx"],
    ["after a line of comment", "let x = 5\n // now\nx", "let x = 5\n;$= // now\nx"],
    ["after a comment in the line", "let x = 5 // it's\nx", "let x = 5 ;$=// it's\nx"],
    ["before comments", "let x = 5;\n\nx; // x; y\n/* z */\n", "let x = 5;\n$=\nx; // x; y\n/* z */\n"],
    [
      "over lines",
      "const f = 1;\n\n[\n  f,\n].map(\n  (x) => x,\n)",
      "const f = 1;\n$=\n[\n  f,\n].map(\n  (x) => x,\n)",
    ],
    ["with semicolons in texts", "let x = ';';\n\nx + ';a' + `;\n;`", "let x = ';';\n$=\nx + ';a' + `;\n;`"],
    ["after a block", "function f() {\n  return 1;\n}\nf()", "function f() {\n  return 1;\n};$=\nf()"],
    ["an assignment", "let x;\n\nx = 5", "let x;\n$=\nx = 5"],
    ["an object", "let x;\n\n({ x })", "let x;\n$=\n({ x })"],
    ["of a module", 'import a from "b";\n\nawait a()', 'import a from "b";\n$=\nawait a()'],
    ["of a module that exports", "export const a = 1;\n\na", "export const a = 1;\n$=\na"],
    ["after a continued line", "let a = b\n(1)\na", "let a = b\n(1);$=\na"],
    ["after a first line for a shell", "#!/usr/bin/node\n6*7", "#!/usr/bin/node\n;$=6*7"],
  ])("%s", (_where, source, noted) => {
    expect(noting(source, "$")).toBe(noted);
  });

  test.each([
    ["nothing", ""],
    ["a declaration", "let x = 5"],
    ["a function", "function f() {}"],
    ["a block", "{ a: 1 }"],
    ["a statement", "if (x) y(); else z()"],
    ["a branch of one", "if (x)\n  y()"],
    ["a label", "a: b"],
    ["two expressions", "a, b"],
    ["what is printed", "console.log(1)"],
    ["part of a declaration over two lines", "let\nx = 5"],
    ["part of a text", "const t = `\nx`"],
    ["a comment", "/*\nx\n*/"],
    ["a call that goes on from the line before", "let a = b\n(c)"],
    ["a template that does", "let a = b\n`c`"],
    ["a pattern, or a division", "let a = b\n/c/g"],
    ["no program", "let x = (;\nx"],
    ["too long", `"${"x".repeat(200_000)}"`],
    ["half a surrogate pair", "'\ud800'"],
  ])("is not: %s", (_what, source) => {
    expect(noting(source, "$")).toBeNull();
  });
});
