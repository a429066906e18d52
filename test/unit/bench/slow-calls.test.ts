import { describe, expect, test } from "vitest";
import { slowCallsGrid, slowCallsText, type WatchedCall } from "../../bench/slow-calls.ts";

const call = (name: string, tookMs: number, thread: number, all = 2 * tookMs): WatchedCall => ({
  ...{ name, atMs: 1000 * tookMs, tookMs },
  metrics: { queue_ms: 1, start_ms: 2, run_ms: null },
  beside: { thread, waiting: 0.25, others: 0, all, disk: tookMs > 20 ? 6 : 1 },
});
const calls = [call("a", 6, 4), call("a", 7, 4), call("a", 40, 28), call("b", 6, 5, Number.NaN), call("b", 30, 5)];
const over = (name: string): number => (name === "a" ? 25 : 50);

describe("calls that took long", () => {
  test("stand below what their contestant's calls have by the median", () => {
    expect(slowCallsGrid(calls, over).rows).toEqual([
      ["a: median of 3", "", 7, 1, 2, "–", 4, 0.3, 0, 14, 1],
      ["a", 40, 40, 1, 2, "–", 28, 0.3, 0, 80, 6],
      ["b: median of 2", "", 6, 1, 2, "–", 5, 0.3, 0, "–", 1],
    ]);
  });

  test("have in common what the processors and the disk did beside them", () => {
    expect(slowCallsText(calls, over)).toBe(
      "1 of 5; beside them the server's thread had 7.0 to 7.0 times as much (7.0 by the median) of a processor as beside the median call, all tasks 5.7 to 5.7 times as much (5.7 by the median); the disk was busy for 6 ms at the most",
    );
    expect(slowCallsText(calls, () => 25)).toContain("all tasks an unknown number of times as much;");
    expect(slowCallsText(calls, () => 100)).toBe("none of 5");
  });
});
