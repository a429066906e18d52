import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { checkout, openCli } from "../support/cli.ts";

/** What stands between two blocks' output: a reader of the page never sees it. */
const border = "\u001e\n";

test("every command of docs/tools-tutorial.md does what the page says", async () => {
  const steps = stepsOf(await readFile(join(checkout, "docs/tools-tutorial.md"), "utf8"));
  expect(steps.length).toBeGreaterThan(8);
  expect(steps.filter(({ output }) => output !== null).length).toBeGreaterThan(6);
  await using toolx = await openCli();
  const script = ["set -e", ...steps.map(({ commands }) => `${commands}printf '${border}'`)].join("\n");
  // As a reader has it: one shell that starts in the checkout.
  const shell = spawn("bash", ["-c", `exec 2>&1\n${script}`], {
    cwd: checkout,
    env: { ...toolx.env, TMPDIR: toolx.workDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [printed] = await Promise.all([text(shell.stdout), new Promise((resolve) => shell.on("close", resolve))]);
  const outputs = printed.split(border);
  expect(shell.exitCode, printed).toBe(0);
  for (const [index, { commands, output }] of steps.entries())
    if (output !== null) expect(timeless(outputs[index] ?? ""), commands).toBe(timeless(output));
  expect(await toolx.leftovers()).toEqual([]);
});

interface Step {
  readonly commands: string;
  /** Null where the page shows none. */
  readonly output: string | null;
}

/** The `sh` blocks of a page, each with the `text` block right behind it. */
function stepsOf(page: string): readonly Step[] {
  return [...page.matchAll(/^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?/gms)].map(([, commands = "", output]) => ({
    commands,
    output: output ?? null,
  }));
}

/** Without what is different every time: ids, figures, and where the folder of this run is. */
const timeless = (output: string): string =>
  output
    .replaceAll(/\bt-[0-9a-f]{10}\b/g, "t-0")
    .replaceAll(/\b\d+(?:\.\d+)? (?:ms|s|MiB|KiB)(?= ·)/g, "0")
    .replaceAll(/\(\/[^)]*\//g, "(/");
