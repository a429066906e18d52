import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { svgOf } from "./chart.ts";
import { figuresCells, figuresColumns } from "./figures.ts";
import { type Grid, isHeld, type Verdict } from "./part.ts";
import { barText, cellText, loadText, type Measured, valueText } from "./report.ts";

/** One part as it stands in docs/bench. */
interface Kept {
  readonly at: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly part: Measured;
}

/**
 * Keeps what was measured in docs/bench: for each part a file of JSON and, where it has a chart, one of SVG; and the page that shows all that
 * are there, those of earlier runs too.
 * @param order in which the page has them.
 */
export async function keepInDocs(
  folder: string,
  machine: Readonly<Record<string, string>>,
  measured: readonly Measured[],
  order: readonly string[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const at = new Date().toISOString().slice(0, 10);
  for (const part of measured) {
    const { chart, ...rest } = part;
    await writeFile(join(folder, `${part.name}.json`), `${JSON.stringify({ at, machine, part: rest }, null, 2)}\n`);
    if (chart !== undefined) await writeFile(join(folder, `${part.name}.svg`), svgOf(chart));
  }
  const files = await readdir(folder);
  const kept: Kept[] = [];
  for (const name of order.filter((each) => files.includes(`${each}.json`)))
    kept.push(JSON.parse(await readFile(join(folder, `${name}.json`), "utf8")) as Kept);
  await writeFile(join(folder, "README.md"), pageOf(kept, new Set(files)));
}

const opening = `# Measured

Written by \`npm run bench -- PART… --docs\`: what was seen in one run of each part, ours and the other side interleaved, on the machine that it
names. What is measured, from where to where, and how: [test/bench/README.md](../../test/bench/README.md). What is promised:
[promises.md](../promises.md#speed).
`;

function pageOf(kept: readonly Kept[], files: ReadonlySet<string>): string {
  return [opening, ...kept.map((each) => sectionOf(each, files.has(`${each.part.name}.svg`)))].join("\n");
}

function sectionOf({ at, machine, part }: Kept, hasChart: boolean): string {
  const { name, conditions, load, tables, grids = [], verdicts } = part;
  const facts = { seen: at, ...machine, ...conditions, load: loadText(load) };
  return [
    `## ${name}\n`,
    ...(hasChart ? [`![${name}](${name}.svg)\n`] : []),
    ...tables.map(({ title, rows }) => {
      const cells = rows.map(([row, figures]) => [row, ...figuresCells(figures)]);
      return gridMarkdown({ title, columns: ["", ...figuresColumns], rows: cells });
    }),
    ...grids.map(gridMarkdown),
    gridMarkdown({ title: "", columns: ["figure", "value", "bar"], rows: verdicts.map(verdictCells) }),
    ...Object.entries(facts).map(([fact, words]) => `- ${fact}: ${words}`),
    "",
  ].join("\n");
}

function gridMarkdown({ title, columns, rows }: Grid): string {
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const lines = [
    row(columns),
    row(columns.map((_, at) => (at === 0 ? "---" : "---:"))),
    ...rows.map((each) => row(each.map(cellText))),
  ];
  return `${title === "" ? "" : `${title}:\n\n`}${lines.join("\n")}\n`;
}

function verdictCells(verdict: Verdict): readonly string[] {
  const { name, unit, bar } = verdict;
  const words = bar === null ? "for information" : `${barText(bar)}: ${isHeld(verdict) ? "held" : "**not reached**"}`;
  return [name, `${valueText(verdict)} ${unit}`, words];
}
