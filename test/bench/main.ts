import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../../src/app/config.ts";
import { dockerAt } from "../../src/app/house.ts";
import { load, machine } from "./machine.ts";
import { isHeld, type Part } from "./part.ts";
import { parts } from "./parts.ts";
import { factsText, type Measured, reportText } from "./report.ts";

/** `npm run bench [-- PART…]`: the promises in numbers (docs/promises.md). */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "20" },
    phases: { type: "boolean", default: false },
    json: { type: "string" },
    database: { type: "string" },
  },
});
const rounds = Number(flags.runs);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--runs is ${flags.runs}, must be a whole number from 1`);
const names = parts.map(({ name }) => name);
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are ${names.join(", ")}`);
const chosen = parts.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

const checkout = dirname(dirname(import.meta.dirname));
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
if (!measured.every(({ verdicts }) => verdicts.every(isHeld))) process.exitCode = 1;

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
    const databaseUrl = flags.database ?? null;
    const report = await measure({ checkout, env, rounds, withPhases: flags.phases, databaseUrl });
    return { name, load: { before, after: load() }, ...report };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
