// Whether this machine's own packages may be added to.
import { createInterface } from "node:readline/promises";
import { findProgram, SetupError } from "./step.mjs";

/** Whether `what` may be installed with apt; `null` means yes, anything else is the reason why not. */
export async function refusalToInstall(what) {
  return await refusalToChange(`Install ${what} on this machine with apt-get?`, async () =>
    (await findProgram("apt-get")) === null ? "there is no apt-get here; only Debian and Ubuntu are known" : null,
  );
}

/**
 * Whether this machine may be changed as `question` says: never where TOOL_EXECUTOR_INSTALL=no, without a question where
 * it is `yes`, in CI and where nobody can be asked, otherwise what the person at the terminal says. `null` means yes;
 * anything else is the reason why not. `obstacle` is asked before the person is, and answers in the same way.
 */
export async function refusalToChange(question, obstacle = async () => null) {
  const setting = process.env.TOOL_EXECUTOR_INSTALL ?? "";
  if (!["", "ask", "yes", "no"].includes(setting)) {
    throw new SetupError(`TOOL_EXECUTOR_INSTALL is "${setting}"; allowed are ask, yes and no`);
  }
  if (setting === "no") return "TOOL_EXECUTOR_INSTALL=no forbids it";
  if (process.getuid() !== 0) return "only root may, and this is not root";
  const inTheWay = await obstacle();
  if (inTheWay !== null) return inTheWay;
  const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
  if (setting === "yes" || process.env.CI === "true" || !isTerminal) return null;
  return (await confirm(question)) ? null : "the answer was no";
}

async function confirm(question) {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
