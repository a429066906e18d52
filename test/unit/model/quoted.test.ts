import fc from "fast-check";
import { expect, test } from "vitest";
import { quoted } from "../../../src/model/quoted.ts";

test.each([
  ["plain ü 😀", '"plain ü 😀"'],
  ['a"b\\', '"a\\"b\\\\"'],
  ["a\nb", '"a\\nb"'],
  ["\u001b[31mred\u009b", '"\\u001b[31mred\\u{9b}"'],
  ["\u202egnp.exe", '"\\u{202e}gnp.exe"'],
  ["\u2028", '"\\u{2028}"'],
  ["x".repeat(61), `"${"x".repeat(60)}…"`],
])("%j is shown as %s", (text, shown) => {
  expect(quoted(text)).toBe(shown);
});

test("nothing that steers a terminal gets through", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(quoted(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    }),
  );
});
