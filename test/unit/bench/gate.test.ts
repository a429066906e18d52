import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Baseline, compared, comparisonsText, passes, renewed } from "../../bench/gate.ts";
import { ratio, type Verdict } from "../../bench/part.ts";

const bench = join(import.meta.dirname, "../../bench");

const baseline: Baseline = {
  version: 1,
  allowedFactor: 1.25,
  machine: { machine: "an earlier one" },
  parts: {
    start: { "cold / bare": { value: 1.2, better: "less" }, "docker / warm": { value: 30, better: "more" } },
    logs: { "ours / attach": { value: 0.8, better: "more" } },
  },
};

const start = (cold: number, warm: number, ...others: readonly Verdict[]) => ({
  name: "start",
  verdicts: [ratio("cold / bare", cold, "less"), ratio("docker / warm", warm, "more"), ...others],
});

describe("the gate of npm run bench -- --check", () => {
  test.each([
    ["as it was", 1.2, 30, ["held", "held"]],
    ["better both ways", 0.9, 60, ["held", "held"]],
    ["worse within the factor", 1.49, 24.1, ["held", "held"]],
    ["a time's ratio grew by more", 1.51, 30, ["worse", "held"]],
    ["a gain shrank by more", 1.2, 23.9, ["held", "worse"]],
    ["no figure at all", Number.NaN, 30, ["worse", "held"]],
    ["a gain of nothing", 1.2, 0, ["held", "worse"]],
  ])("%s", (_name, cold, warm, outcomes) => {
    const comparisons = compared(baseline, [start(cold, warm)]);
    expect(comparisons.map(({ outcome }) => outcome)).toEqual(outcomes);
    expect(passes(comparisons)).toBe(!outcomes.includes("worse"));
  });

  test("says nothing of times, nor of parts that were not measured", () => {
    const time: Verdict = { name: "p50", value: 1e9, unit: "ms", bar: { atMost: 8 } };
    const comparisons = compared(baseline, [start(1.2, 30, time)]);
    expect(comparisons.map(({ part, name }) => [part, name])).toEqual([
      ["start", "cold / bare"],
      ["start", "docker / warm"],
    ]);
  });

  test("lets a ratio in that the baseline does not have", () => {
    const comparisons = compared(baseline, [start(1.2, 30, ratio("peer / warm", 90, "more"))]);
    expect(comparisons.at(-1)).toMatchObject({ name: "peer / warm", was: null, is: 90, outcome: "new" });
    expect(passes(comparisons)).toBe(true);
  });

  test("fails where a part no longer has a ratio of the baseline", () => {
    const comparisons = compared(baseline, [{ name: "logs", verdicts: [] }]);
    expect(comparisons).toEqual([
      { part: "logs", name: "ours / attach", was: 0.8, is: null, factor: null, outcome: "gone" },
    ]);
    expect(passes(comparisons)).toBe(false);
  });

  test("names part, ratio, both values and the factor", () => {
    const text = comparisonsText(compared(baseline, [start(2.4, 30)]), baseline.allowedFactor);
    expect(text).toMatch(/start: cold \/ bare\s+1\.20 →\s+2\.40 {2}2\.00 times worse: worse/);
    expect(text).toContain("at most 1.25 times worse");
  });

  test("a new baseline has what was measured, the other parts as they were, and the machine", () => {
    const time: Verdict = { name: "p50", value: 8, unit: "ms", bar: null };
    expect(renewed(baseline, [start(1.23456, 31, time)], { machine: "this one" })).toEqual({
      version: 1,
      allowedFactor: 1.25,
      machine: { machine: "this one" },
      parts: {
        ...baseline.parts,
        start: { "cold / bare": { value: 1.23, better: "less" }, "docker / warm": { value: 31, better: "more" } },
      },
    });
  });

  test("the committed baseline is one, of parts that there are", () => {
    const committed = JSON.parse(readFileSync(join(bench, "baseline.json"), "utf8")) as Baseline;
    expect(committed).toMatchObject({ version: 1 });
    expect(committed.allowedFactor).toBeGreaterThan(1);
    const isPart = (name: string): boolean => existsSync(join(bench, `${name}.ts`));
    expect(Object.keys(committed.parts).filter((name) => !isPart(name))).toEqual([]);
    for (const ratios of Object.values(committed.parts))
      for (const { value, better } of Object.values(ratios)) {
        expect(value).toBeGreaterThan(0);
        expect(["less", "more"]).toContain(better);
      }
  });
});
