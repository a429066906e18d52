import { join } from "node:path";
import { examine } from "../app/doctor.ts";
import type { Finding } from "../app/finding.ts";
import type { CliContext } from "./context.ts";
import { written } from "./io.ts";
import { terminalName } from "./terminal-text.ts";

/**
 * `toolx doctor`: one line for each thing this host must be and each limit and wall that must hold, tried. Exits 1 when one does not.
 * @throws ExecutorError validation, for a wrong setting.
 */
export async function doctorCommand(context: CliContext, json: boolean): Promise<void> {
  const { io } = context;
  const findings: Finding[] = [];
  for await (const found of examine(context.config(), join(context.programDir, "sandbox-images"), io.interrupt)) {
    findings.push(found);
    if (!json) await written(io.stdout, lineOf(found));
  }
  if (json) await written(io.stdout, `${JSON.stringify(findings)}\n`);
  if (findings.some(({ verdict }) => verdict === "fail")) context.exitWith(1);
}

const words: Readonly<Record<Finding["verdict"], string>> = {
  ok: "ok",
  warn: "warn",
  fail: "FAIL",
  not_tried: "not tried",
};

/** Of the longest name, so that what was tried stands in one column. */
const nameWidth = "runsc: programs in /output".length;

function lineOf({ name, verdict, tried, seen, advice }: Finding): string {
  const line = `${words[verdict].padEnd(10)}${name.padEnd(nameWidth)} ${tried}: ${terminalName(seen)}\n`;
  return advice === null ? line : `${line}${"".padEnd(10)}→ ${advice}\n`;
}
