import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { documentsOf, type FileKind, maxDocumentBytes } from "../../../src/knowledge/document.ts";
import { markdownOutline } from "../../../src/knowledge/outline.ts";
import { passagesOf } from "../../../src/knowledge/passages.ts";
import { maxPassageWords, maxSameWord } from "../../../src/model/knowledge.ts";

const key = { tenantId: "acme", collection: "default", path: "guide/a.md" };
const read = (bytes: Uint8Array | string, kind: FileKind = "markdown", tags: readonly string[] = []) => [
  ...documentsOf({ key, tags, source: "/docs", kind, bytes: Buffer.from(bytes) }),
];
const document = (...args: Parameters<typeof read>) => {
  const [first] = read(...args);
  if (first?.kind !== "document") throw new Error(JSON.stringify(first));
  return first.document;
};
const passages = (text: string) =>
  document(text).passages.map(({ heading, line, text: passage }) => [heading, line, passage]);

describe("Markdown", () => {
  test("is divided by its headings, each passage with those above it and its line", () => {
    const text = "# Guide\n\nintro\n\n## Install\n\nsteps\n\n### From source ##\nmake\n\n## Use\n\nrun";
    expect(document(text).title).toBe("Guide");
    expect(passages(text)).toEqual([
      [null, 3, "intro"],
      ["Install", 7, "steps"],
      ["Install › From source", 10, "make"],
      ["Use", 14, "run"],
    ]);
  });

  test.each([
    ["what is fenced", "```sh\n# no heading\n```\n~~~\n# nor this\n```\n~~~\n## One\nx", ["One"]],
    ["underlined headings", "Title\n=====\n\nOne\n---\nx\n\n- item\n---\ny", ["One"]],
    ["a rule", "# T\n\nx\n\n---\n\ny", []],
    ["a table", "# T\n\n| a | b |\n|---|---|\n| c | d |", []],
    ["HTML", '<h1 align="center">T</h1>\n\nx\n\n<h2>One <a id="x"></a></h2>\n\ny', ["One"]],
    [
      "marks in headings",
      "# T\n\n## `run()` [docs](https://x.y/z) and [more][ref] **now**\n\nx",
      ["run() docs and more now"],
    ],
    ["a hash in a word", "# T\n\n#tag\n\n## C#\n\nx", ["C#"]],
    ["headings deeper than their place", "# T\n\n#### Deep\n\nx\n\n## One\n\ny", ["Deep", "One"]],
  ])("%s", (_what, text, headings) => {
    const { parts } = markdownOutline(text);
    expect(parts.map((part) => part.headings.join(" › ")).filter((heading) => heading !== "")).toEqual(headings);
  });

  test.each([
    ["the front matter", "---\ntitle: 'From the front'\ntags: [a]\n---\n\nx", "From the front"],
    ["the first heading of level 1", "---\ntitle: front\n---\n\n## Below\n\n# Above\n\nx", "Above"],
    ["the name of the file", "just text", "a"],
  ])("has its title from %s", (_what, text, title) => {
    expect(document(text).title).toBe(title);
  });

  test("without headings, with Windows' line ends and a byte order mark, is text all the same", () => {
    expect(passages("\ufeffone\r\ntwo\r\n\r\nthree\r\n")).toEqual([[null, 1, "one\ntwo\n\nthree"]]);
  });
});

describe("a long text", () => {
  test("is cut between paragraphs, then between lines, then between words", () => {
    const paragraph = (word: string) => Array.from({ length: 150 }, (_, index) => `${word}${index}`).join(" ");
    expect(passages(["a", "b", "c", "d"].map(paragraph).join("\n\n")).map(([, line]) => line)).toEqual([1, 5]);
    expect(passages(["a", "b", "c", "d"].map(paragraph).join("\n")).map(([, line]) => line)).toEqual([1, 3]);
    const line = Array.from({ length: 1000 }, (_, index) => `w${index}`).join(" ");
    const pieces = document(line).passages.map(({ text }) => text);
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join("")).toBe(line);
  });

  test("however it is made, keeps all its words, and within what an index takes", () => {
    const piece = fc.oneof(
      fc.constantFrom("rain ", "知識", "\n", "\n\n", "# ", "```\n", "🌧", "a*b_", "\u0301", "--- \n", "x".repeat(2500)),
      fc.string({ unit: "grapheme", maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, fc.integer({ min: 1, max: 300 })), { maxLength: 8 }), (pieces) => {
        const text = pieces.map(([each, times]) => each.repeat(times)).join("");
        for (const { words, text: passage } of passagesOf("T", [{ headings: [], line: 1, lines: text.split("\n") }])) {
          expect(words.body.length).toBeLessThanOrEqual(maxPassageWords);
          expect(passage.length).toBeLessThanOrEqual(6002);
          expect(passage.isWellFormed()).toBe(text.isWellFormed() || passage.isWellFormed());
          const counts = Map.groupBy(words.body, (word) => word);
          for (const same of counts.values()) expect(same.length).toBeLessThanOrEqual(maxSameWord);
          for (const word of words.body) expect(word).toMatch(/^[\p{L}\p{N}\p{M}]+$/u);
        }
      }),
      { numRuns: 40 },
    );
  }, 120_000);

  test.each([
    ["one line", "rain ".repeat(400_000)],
    ["short lines", "}\n".repeat(1_000_000)],
    ["short paragraphs", "a\n\n".repeat(600_000)],
    ["hashes", "# ".repeat(1_000_000)],
    ["headings", "# a\n".repeat(500_000)],
    ["brackets", `# ${"[".repeat(450)}\n`.repeat(4000)],
    ["one word", "x".repeat(2_000_000)],
  ])(
    "of two megabytes of %s costs seconds at most",
    (_what, text) => {
      const before = process.cpuUsage();
      read(text);
      expect(process.cpuUsage(before).user / 1e6).toBeLessThan(5);
    },
    120_000,
  );
});

describe("what is no document is refused by name", () => {
  test.each([
    ["bytes that are no UTF-8", Buffer.from([0x61, 0xff, 0x62]), "is no UTF-8"],
    ["a NUL", "a\0b", "holds a NUL character"],
    ["nothing", "", "has no text"],
    ["headings without text", "# A\n\n## B\n", "has no text"],
    ["too much", "a".repeat(maxDocumentBytes + 1), `at most ${maxDocumentBytes}`],
  ])("%s", (_what, bytes, why) => {
    expect(read(bytes)).toEqual([{ kind: "refused", path: "guide/a.md", why: expect.stringContaining(why) }]);
  });
});

describe("JSON lines", () => {
  test("are a document each, with an id, title and tags of their own where they have them", () => {
    const lines = [
      { text: "# Rain\n\nfalls", url: "x" },
      { id: "s-2", title: "Snow", text: "falls too", tags: ["b", "a"] },
    ];
    const all = read(`${lines.map((line) => JSON.stringify(line)).join("\n")}\n\n`, "lines", ["a"]);
    expect(all.map((each) => (each.kind === "document" ? each.document : each))).toMatchObject([
      { key: { path: "guide/a.md#1" }, title: "Rain", tags: ["a"], passages: [{ text: "falls", line: 1 }] },
      { key: { path: "guide/a.md#s-2" }, title: "Snow", tags: ["a", "b"], passages: [{ line: 2 }] },
    ]);
  });

  test("that are bad are named by their number, and the others are taken", () => {
    const lines = [
      '{"text": "one"}',
      "{",
      '{"title": "no text"}',
      '{"text": "\\ud800"}',
      '{"text": "a\\u0000"}',
      '{"text":"x","title":"a\\u0000"}',
      '{"text":"two","tags":["a b"]}',
      "[]",
      '{"text": "last"}',
    ];
    const all = read(lines.join("\n"), "lines");
    expect(all.map((each) => (each.kind === "document" ? each.document.key.path : `${each.path} ${each.why}`))).toEqual(
      [
        "guide/a.md#1",
        expect.stringMatching(/^guide\/a\.md:2 line is no JSON/),
        "guide/a.md:3 text is missing",
        expect.stringMatching(/^guide\/a\.md:4 text has half of a surrogate pair/),
        expect.stringMatching(/^guide\/a\.md:5 holds a NUL/),
        expect.stringMatching(/^guide\/a\.md:6 title .*must hold no NUL/),
        expect.stringMatching(/^guide\/a\.md:7 tags\[0\] .*must be 1 to 63 letters/),
        expect.stringMatching(/^guide\/a\.md:8 line is an array, must be an object/),
        "guide/a.md#9",
      ],
    );
  });
});

test("the digest tells apart what is kept differently, and nothing else", () => {
  const digest = (...args: Parameters<typeof read>) => document(...args).digest;
  expect(digest("# A\n\nrain")).toBe(digest("# A\r\n\r\nrain"));
  const all = [
    digest("# A\n\nrain"),
    digest("# B\n\nrain"),
    digest("# A\n\nsnow"),
    digest("# A\n\nrain", "markdown", ["x"]),
  ];
  expect(new Set(all).size).toBe(4);
});
