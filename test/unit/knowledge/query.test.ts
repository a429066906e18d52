import { describe, expect, test } from "vitest";
import { parseQuery } from "../../../src/knowledge/query.ts";
import type { Term } from "../../../src/model/knowledge.ts";

const written = ({ words, isPrefix }: Term): string => words.join(" ") + (isPrefix ? "*" : "");
const read = (text: string) => {
  const { all, none } = parseQuery(text);
  return { all: all.map(written), none: none.map(written) };
};

describe("a query", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ["rain Oslo", ["rain", "oslo"], []],
    ["  what's a  sandbox? ", ["what s", "a", "sandbox"], []],
    ['"Red Apple" pear', ["red apple", "pear"], []],
    ["migrat*", ["migrat*"], []],
    ['"the sch"*', ["the sch*"], []],
    ["rain -oslo", ["rain"], ["oslo"]],
    ['rain -"over rome" -rom*', ["rain"], ["over rome", "rom*"]],
    ["fs.open(path)", ["fs open path"], []],
    ["well-known", ["well known"], []],
    ["--handover", ["handover"], []],
    ["task_id", ["task id"], []],
    ["a - b & c → d", ["a", "b", "c", "d"], []],
    ['"" rain', ["rain"], []],
    ["日本語", ["日 本 語"], []],
    ["ÉCOLE straße", ["ecole", "strasse"], []],
    ["AND OR NOT", ["and", "or", "not"], []],
    [`${"x".repeat(100)}`, ["x".repeat(64)], []],
  ])("%j looks for %j and not for %j", (text, all, none) => {
    expect(read(text)).toEqual({ all, none });
  });

  test.each([
    ["", "has no word"],
    ["?! …", "has no word"],
    ["-rain", "says only what must not be there"],
    ['rain "over', 'has a " without its other one'],
    ["*", "has a * that is not at the end of a word"],
    ["a*b", "has a * that is not at the end of a word"],
    ["rain * wind", "has a * that is not at the end of a word"],
    ["&*", "has a * that is not at the end of a word"],
    ["r*", 'has "r*", and before a * stand at least 2 letters'],
    ["é".repeat(513), "is 1026 bytes long, at most 1024"],
    ["a ".repeat(33), "has 33 terms, at most 32"],
    [`"${"a ".repeat(65)}"`, "has 65 words, at most 64"],
  ])("%j is refused with what is wrong", (text, why) => {
    expect(() => parseQuery(text)).toThrow(
      expect.objectContaining({
        code: "validation",
        message: expect.stringContaining(`query ${why}`),
        hint: expect.stringContaining("a phrase"),
        details: [expect.objectContaining({ path: "/query" })],
      }),
    );
  });

  test("of any text is read or refused, and at once", () => {
    for (const piece of ['"', "*", "-", '-"', '"*', "a*", " ", "\u0300", "\ud800", "\u202e"])
      for (const count of [1, 2, 500]) {
        const before = process.cpuUsage();
        try {
          parseQuery(piece.repeat(count));
        } catch (error) {
          expect(error).toMatchObject({ code: "validation" });
        }
        expect(process.cpuUsage(before).user / 1e6).toBeLessThan(0.5);
      }
  });
});
