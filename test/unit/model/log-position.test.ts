import { describe, expect, test } from "vitest";
import { isAfter, type LogPosition, logStart, parsePosition, positionText } from "../../../src/model/log-position.ts";

const at = (text: string): LogPosition => {
  const position = parsePosition(text);
  if (position === null) throw new Error(`${text} is no position`);
  return position;
};

describe("a place in a task's output", () => {
  test.each(["1.1", "2.30", "12.7.1"])("%s is read as it was written", (text) => {
    expect(positionText(at(text))).toBe(text);
  });

  test.each(["", "x", "1.", ".1", "1.2.3.4", "-1", "1e3", " 1", "1.2.x", "9".repeat(20)])("%j is none", (text) => {
    expect(parsePosition(text)).toBeNull();
  });

  test.each<[string, string, boolean]>([
    ["1.2", "1.1", true],
    ["1.2", "1.2", false],
    ["1.1", "1.2", false],
    ["1.2.1", "1.2", true],
    ["1.2", "1.2.1", false],
    // Another attempt counts from the start.
    ["2.1", "1.9", true],
    // A number alone means the attempt that is under way, whichever it is.
    ["2.4", "3", true],
    ["2.3", "3", false],
  ])("%s comes after %s: %s", (place, last, after) => {
    expect(isAfter(at(place), at(last))).toBe(after);
  });

  test("everything comes after the start", () => {
    expect(isAfter(at("1.1"), logStart)).toBe(true);
  });
});
