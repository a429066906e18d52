import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { terminalName, terminalText } from "../../../src/cli/terminal-text.ts";

const shown = (...pieces: readonly (string | Buffer)[]): string => {
  const text = terminalText();
  return pieces.map((piece) => text.write(Buffer.from(piece))).join("") + text.end();
};

describe("a task's text on a terminal", () => {
  test.each<[string, string, string]>([
    ["plain lines and tabs pass", "a\tb\nc", "a\tb\nc"],
    ["colour passes, and is put back at the end", "\x1b[1;31mred", "\x1b[1;31mred\x1b[0m"],
    ["a title does not", "\x1b]0;x\x07", "\\x1b]0;x\\x07"],
    ["clearing the screen does not", "\x1b[2J", "\\x1b[2J"],
    ["a link does not", "\x1b]8;;http://e\x1b\\e", "\\x1b]8;;http://e\\x1b\\e"],
    ["a question to the terminal does not", "\x1b[6n", "\\x1b[6n"],
    ["overwriting a line does not", "good\rbad", "good\\x0dbad"],
    ["a line end of DOS is a line end", "a\r\nb", "a\nb"],
    ["C1 controls do not", "\u009b2J", "\\x9b2J"],
    ["a backspace does not", "a\bb", "a\\x08b"],
    ["turning the reading direction does not", "a\u202eb\u2066c", "a\\u202eb\\u2066c"],
    ["text that is read from the right does", "\u200fשלום", "\u200fשלום"],
    ["what is no UTF-8 is replaced", "\ufffd", "\ufffd"],
  ])("%s", (_name, given, wanted) => {
    expect(shown(given)).toBe(wanted);
  });

  test("sequences and characters split between two writes are one", () => {
    expect(shown("\x1b", "[3", "1mred\x1b[0", "m")).toBe("\x1b[31mred\x1b[0m\x1b[0m");
    expect(shown("a\r", "\nb")).toBe("a\nb");
    expect(shown(Buffer.from([0xe2, 0x82]), Buffer.from([0xac]))).toBe("€");
  });

  test("whatever is written, no control but line feed, tab and colour comes out", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 30 })), (pieces) => {
        const rest = shown(...pieces.map((piece) => Buffer.from(piece))).replaceAll(/\x1b\[[0-9;:]*m/g, "");
        expect(rest).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
      }),
    );
  });
});

test("a name is one line and cannot turn the reading direction", () => {
  expect(terminalName("a\nb\x1b[31m\u202egnp.exe")).toBe("a\\x0ab\\x1b[31m\\u202egnp.exe");
});
