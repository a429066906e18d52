import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Chart, scaleOf, svgOf } from "../../bench/chart.ts";
import { keepInDocs } from "../../bench/docs-page.ts";
import { figures } from "../../bench/figures.ts";
import { ratio } from "../../bench/part.ts";
import type { Measured } from "../../bench/report.ts";

const chart: Chart = {
  title: "Fast & slow",
  note: "a < b",
  panels: [
    {
      kind: "bars",
      axis: "milliseconds",
      bars: [
        { name: "ours", value: 5, p99: 9, isOurs: true },
        { name: "theirs", value: 300, isOurs: false },
      ],
    },
    {
      ...{ kind: "lines", axis: "tasks a second", placesAxis: "at once", places: [1, 10] },
      lines: [{ name: "ours", values: [4, null], isOurs: true, isDashed: true }],
    },
  ],
};

test.each([
  [0, 1],
  [0.7, 0.7],
  [7, 7],
  [9.3, 10],
  [312, 350],
  [1999, 2000],
])("an axis for %d ends at a round number, %d, and not far beyond", (most, end) => {
  const scale = scaleOf(most);
  expect(scale.end).toBeCloseTo(end);
  expect(scale.ticks[0]).toBe(0);
  expect(scale.ticks.at(-1)).toBeCloseTo(scale.end);
  expect(scale.ticks.length).toBeGreaterThanOrEqual(5);
  expect(scale.ticks.length).toBeLessThanOrEqual(9);
});

test("a chart has its title, its axes with units and each contestant's name and figure, on white", () => {
  const svg = svgOf(chart);
  for (const words of [
    "Fast &amp; slow",
    "a &lt; b",
    ">milliseconds<",
    ">tasks a second<",
    ">at once<",
    ">theirs<",
    ">300<",
  ])
    expect(svg).toContain(words);
  expect(svg).toMatch(/<rect width="860" height="\d+" fill="#ffffff"\/>/);
  expect(svg).not.toContain("NaN");
});

test("a bar is as long as its value, from zero", () => {
  const widths = [...svgOf(chart).matchAll(/<rect x="230" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );
  expect(widths).toHaveLength(2);
  expect((widths[1] ?? 0) / (widths[0] ?? 1)).toBeCloseTo(60, 0);
});

test("a place where nothing was measured has no point", () => {
  expect(svgOf(chart).match(/<circle/g)).toHaveLength(1);
});

test("the page of docs/bench shows what was measured now, and what was before", async () => {
  const folder = await mkdtemp(join(tmpdir(), "toolx-bench-docs-"));
  try {
    const part = (name: string, value: number): Measured => ({
      name,
      load: { before: "0.10", after: "0.20" },
      conditions: { task: "true" },
      tables: [{ title: "milliseconds", rows: [["a | b", figures([1, 2, 3])]] }],
      verdicts: [ratio("ours / theirs", value, "less", { atMost: 1.1 })],
      ...(name === "start" && { chart }),
    });
    await keepInDocs(folder, { machine: "slow" }, [part("warm", 1.05)], ["start", "warm"]);
    await keepInDocs(folder, { machine: "quick" }, [part("start", 1.2)], ["start", "warm"]);
    expect((await readdir(folder)).sort()).toEqual(["README.md", "start.json", "start.svg", "warm.json"]);
    const page = await readFile(join(folder, "README.md"), "utf8");
    const [start = "", warm = ""] = page.split("\n## ").slice(1);
    for (const words of [
      "![start](start.svg)",
      "1.20 ×",
      "at most 1.1: **not reached**",
      "- machine: quick",
      "a \\| b",
    ])
      expect(start).toContain(words);
    for (const words of ["1.05 ×", "at most 1.1: held", "- machine: slow"]) expect(warm).toContain(words);
    expect(warm).not.toContain("![");
  } finally {
    await rm(folder, { recursive: true });
  }
});
