import "./as-the-server.ts";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../../src/app/config.ts";
import { dockerAt } from "../../src/app/house.ts";
import { keepInDocs } from "./docs-page.ts";
import { type Baseline, compared, comparisonsText, passes, renewed } from "./gate.ts";
import { load, machine } from "./machine.ts";
import { isHeld, type Part } from "./part.ts";
import { parts } from "./parts.ts";
import { factsText, type Measured, reportText } from "./report.ts";

/** `npm run bench [-- PART…]`: the promises in numbers (docs/promises.md). */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "20" },
    mib: { type: "string", default: "1024" },
    phases: { type: "boolean", default: false },
    json: { type: "string" },
    database: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
    "write-baseline": { type: "boolean", default: false },
  },
});
const [rounds, bulkMib] = [wholeNumber("runs"), wholeNumber("mib")];
const names = parts.map(({ name }) => name);
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are ${names.join(", ")}`);
const chosen = parts.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

const checkout = dirname(dirname(import.meta.dirname));
const baselineFile = join(import.meta.dirname, "baseline.json");
const facts = await machine(dockerAt(loadConfig(checkout, process.env).dockerHost));
process.stdout.write(factsText(facts));
const measured: Measured[] = [];
for (const part of chosen) {
  const report = await measure(part);
  measured.push(report);
  process.stdout.write(`\n${reportText(report)}`);
}
if (flags.json !== undefined) {
  const file = { version: 1, at: new Date().toISOString(), machine: facts, parts: measured };
  await writeFile(flags.json, `${JSON.stringify(file, null, 2)}\n`);
}
if (flags.docs) await keepInDocs(join(checkout, "docs/bench"), facts, measured, names);
if (flags.check) await check();
// A gate is about what became worse; bars are about what was promised.
else if (!measured.every(({ verdicts }) => verdicts.every(isHeld))) process.exitCode = 1;
if (flags["write-baseline"]) await writeBaseline();

async function measure({ name, measure }: Part): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), "toolx-bench-"));
  const env = {
    ...process.env,
    TOOL_EXECUTOR_DATA: join(folder, "data"),
    SANDBOX_ROOT: join(folder, "scratch"),
    TOOL_EXECUTOR_RUNTIME_DIR: join(folder, "run"),
  };
  try {
    const before = load();
    const report = await measure({
      ...{ checkout, env, rounds, withPhases: flags.phases, withPeers: !flags["no-peers"] },
      databaseUrl: flags.database ?? null,
      bulkBytes: bulkMib * 1024 * 1024,
      tell: (line) => process.stderr.write(`bench ${name}: ${line}\n`),
    });
    return { name, load: { before, after: load() }, ...report };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function check(): Promise<void> {
  const baseline = await readBaseline();
  const comparisons = compared(baseline, measured);
  process.stdout.write(`\n${comparisonsText(comparisons, baseline.allowedFactor)}`);
  if (!passes(comparisons)) process.exitCode = 1;
}

async function writeBaseline(): Promise<void> {
  await writeFile(baselineFile, `${JSON.stringify(renewed(await readBaseline(), measured, facts), null, 2)}\n`);
}

async function readBaseline(): Promise<Baseline> {
  return JSON.parse(await readFile(baselineFile, "utf8")) as Baseline;
}

function wholeNumber(name: "runs" | "mib"): number {
  const value = Number(flags[name]);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} is ${flags[name]}, must be a whole number from 1`);
  return value;
}
