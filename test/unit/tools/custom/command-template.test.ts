import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../../src/model/task.ts";
import { argvFor, commandProblems } from "../../../../src/tools/custom/command-template.ts";

describe("a command's arguments", () => {
  test.each<[string, readonly string[], JsonObject, readonly string[]]>([
    ["text as it is, never split", ["p", "{{payload.a}}"], { a: "x y; $(z) `w` *\n" }, ["p", "x y; $(z) `w` *\n"]],
    ["text without placeholders as it is", ["p", "$HOME", "{x}", ""], {}, ["p", "$HOME", "{x}", ""]],
    ["an empty text as an empty argument", ["p", "{{payload.a}}"], { a: "" }, ["p", ""]],
    [
      "numbers and truth values as JSON has them",
      ["p", "{{payload.a}}-{{payload.b}}"],
      { a: 1.5, b: false },
      ["p", "1.5-false"],
    ],
    ["inside other text", ["p", "--top={{payload.a}}x"], { a: 5 }, ["p", "--top=5x"]],
    ["nothing for an absent field", ["p", "--top={{payload.a}}", "z"], {}, ["p", "z"]],
    ["nothing for null", ["p", "{{payload.a}}"], { a: null }, ["p"]],
    ["nothing where one of two is absent", ["p", "{{payload.a}}={{payload.b}}"], { a: 1 }, ["p"]],
    ["one for each item of a list", ["p", "-t{{payload.a}}"], { a: ["x", "y z", 3] }, ["p", "-tx", "-ty z", "-t3"]],
    ["none for an empty list", ["p", "{{payload.a}}"], { a: [] }, ["p"]],
    [
      "a value that looks like a placeholder as it is",
      ["p", "{{payload.a}}"],
      { a: "{{payload.b}}", b: "no" },
      ["p", "{{payload.b}}"],
    ],
    ["a value that a replacement would read", ["p", "x{{payload.a}}"], { a: "$& $1 $$" }, ["p", "x$& $1 $$"]],
    ["nothing for what every object inherits", ["p", "{{payload.toString}}"], {}, ["p"]],
  ])("%s", (_name, command, payload, argv) => {
    expect(argvFor(command, payload)).toEqual(argv);
  });

  test.each<[string, readonly string[], JsonObject, string, string]>([
    ["an object", ["p", "{{payload.a}}"], { a: {} }, "/payload/a", "payload.a is no text, number or truth value"],
    ["a list of lists", ["p", "{{payload.a}}"], { a: [1, []] }, "/payload/a/1", "payload.a[1] is no text"],
    ["null in a list", ["p", "{{payload.a}}"], { a: [null] }, "/payload/a/0", "payload.a[0] is no text"],
    [
      "a list beside another field",
      ["p", "{{payload.a}}{{payload.b}}"],
      { a: [1], b: 2 },
      "/payload/a",
      "payload.a is no text",
    ],
    ["a NUL", ["p", "{{payload.a}}"], { a: "x\0" }, "/payload/a", "payload.a must not hold a NUL character"],
    [
      "more than an argument holds",
      ["p", "{{payload.a}}"],
      { a: "ü".repeat(65_536) },
      "/payload/a",
      "an argument of 131072 bytes, at most 131071",
    ],
    [
      "more arguments than there may be",
      ["p", "{{payload.a}}"],
      { a: Array(1000).fill(1) },
      "/payload",
      "payload makes 1001 arguments, at most 1000",
    ],
  ])("are refused for %s", (_name, command, payload, path, message) => {
    expect(() => argvFor(command, payload)).toThrow(
      expect.objectContaining({ code: "validation", details: [{ path, message: expect.stringContaining(message) }] }),
    );
  });
});

describe("a command is wrong when", () => {
  const schema: JsonObject = { properties: { text: {}, count: {} } };

  test.each<[string, readonly string[], string]>([
    ["a placeholder is none", ["p", "{{text}}"], "what stands in {{ }} must be payload.FIELD"],
    ["a placeholder has spaces", ["p", "{{ payload.text }}"], "must be payload.FIELD"],
    ["a placeholder goes deeper", ["p", "{{payload.text.a}}"], "must be payload.FIELD"],
    ["a placeholder is not closed", ["p", "{{payload.text}"], "must be payload.FIELD"],
    [
      "the schema has no such field",
      ["p", "{{payload.txt}}"],
      "input_schema.properties has no txt, did you mean text?",
    ],
    ["the program comes from the payload", ["/bin/{{payload.text}}"], "the program cannot come from the payload"],
    [
      "the payload would be a shell's code",
      ["bash", "-c", "echo {{payload.text}}"],
      "the payload would be read as code",
    ],
    ["the payload would be code after other flags", ["/bin/sh", "-e", "-ec", "{{payload.text}}"], "read as code"],
    ["the payload would be another's code", ["env", "python3", "-c", "{{payload.text}}"], "read as code"],
    ["the payload would be node's code", ["node", "--eval", "{{payload.text}}"], "read as code"],
  ])("%s", (_name, command, message) => {
    expect(commandProblems(command, schema)).toEqual([
      { path: expect.stringMatching(/^\/command\/\d$/), message: expect.stringContaining(message) },
    ]);
  });

  test.each<[readonly string[]]>([
    [["bash", "-c", 'echo "$1"', "bash", "{{payload.text}}"]],
    [["grep", "-c", "{{payload.text}}"]],
    [["python3", "main.py", "--n={{payload.count}}", "{{payload.text}}"]],
  ])("but not for %j", (command) => {
    expect(commandProblems(command, schema)).toEqual([]);
  });
});
