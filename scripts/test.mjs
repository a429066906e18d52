// `npm test`: the set-up, then every test there is. One part that fails does not keep the others from being run.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { onPinnedNode, pinnedNode } from "./packages.mjs";
import { installPrerequisites } from "./prerequisites.mjs";
import { setup } from "./setup.mjs";
import { asProgram, checkout, exitCode, output, SetupError, tell } from "./step.mjs";

/** When a run of vitest is ended: one that hangs is to be told of before whoever runs the tests gives up on them, after 90 minutes. */
const endsAt = Date.now() + 87 * 60_000;

await asProgram(async () => {
  const folder = await mkdtemp(join(tmpdir(), "tool-executor-test-"));
  try {
    const again = await onPinnedNode();
    if (again !== null) return again;
    await setup();
    // In the background: the first time they take minutes.
    const services = exitCode("npm", ["run", "--silent", "services"], { stdout: 2 });
    await installPrerequisites();
    return await testAll(folder, services);
  } catch (error) {
    // The set-up is what the run stands on: nothing was tested, and that is one failure.
    process.stderr.write(`setup: ${error instanceof SetupError ? error.message : error.stack}\n`);
    process.stdout.write("0 passed, 1 failed\n");
    return 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function testAll(folder, services) {
  const part = async (name, run) => {
    tell(`running ${name}`);
    return { name, ...(await run(join(folder, `${name}.json`))) };
  };
  // What needs a processor, beside what mostly waits; and nothing beside what measures.
  const parts = await Promise.all([
    part("check", check),
    part("init", testInit),
    part("services", () => built(services)),
    services.then(() => part("beside", (report) => vitest(report, "beside"))),
  ]);
  parts.push(await part("alone", (report) => vitest(report, "!beside")));
  parts.push(await part("left", nothingLeft));
  // Whoever reads a record of the run may have its end alone.
  for (const what of parts.flatMap(({ failures = [] }) => failures)) process.stdout.write(`failed: ${what}\n`);
  for (const { name, passed, failed } of parts) {
    process.stdout.write(
      `${name.padEnd(8)} ${String(passed).padStart(5)} passed ${String(failed).padStart(5)} failed\n`,
    );
  }
  const passed = parts.reduce((sum, part) => sum + part.passed, 0);
  const failed = parts.reduce((sum, part) => sum + part.failed, 0);
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/** Types, lint, format and import directions count as one. */
async function check() {
  const code = await exitCode("npm", ["run", "--silent", "check"]);
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** What runs against services needs all their images; and no test's times are to be those of a machine that builds. */
async function built(services) {
  return (await services) === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Where everybody can run them, with the Go that builds the program: what a machine has or lacks is not to be found out by others. */
async function testInit(countsFile) {
  const code = await exitCode("npm", ["run", "--silent", "test:init", "--", "--in-container", "--counts", countsFile]);
  const { passed, failed, failures } = (await readJson(countsFile)) ?? { passed: 0, failed: 0, failures: [] };
  return { passed, failed: atLeastOne(failed, code), failures };
}

/** The tests of some projects of vitest.config.ts. */
async function vitest(reportFile, projects) {
  const program = join(checkout, "node_modules/vitest/vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  const args = ["--disable-warning=ExperimentalWarning", program, "run", `--project=${projects}`, ...reporters];
  const code = await exitCode(pinnedNode, args, { boundMs: Math.max(60_000, endsAt - Date.now()) });
  const report = (await readJson(reportFile)) ?? {};
  // No test may be skipped, so one that was has failed.
  const skipped = (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
  if (skipped > 0) process.stdout.write(`${skipped} tests were skipped, which counts as failed\n`);
  const failed = (report.numFailedTests ?? 0) + skipped;
  const named = (report.testResults ?? []).flatMap(failuresOf);
  return {
    passed: report.numPassedTests ?? 0,
    failed: atLeastOne(failed, code),
    failures: code !== 0 && failed === 0 ? [...named, `vitest --project=${projects} ended with ${code}`] : named,
  };
}

/** A line for each test of a file that failed, or for the file that could not be run. */
function failuresOf({ name, status, message, assertionResults = [] }) {
  const file = relative(checkout, name);
  const failed = assertionResults.filter((one) => one.status === "failed");
  if (failed.length === 0) return status === "failed" ? [`${file}: ${firstLine(message)}`] : [];
  return failed.map(({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages[0])}`);
}

// Hoisted: it is called before the end of this module is reached.
function firstLine(text = "") {
  return stripVTControlCharacters(text).trim().split("\n", 1)[0].slice(0, 300);
}

/** After all tests there is nothing for the reaper to do. */
async function nothingLeft() {
  const report = JSON.parse((await output(join(checkout, "bin/toolx"), ["gc", "-o", "json"])) ?? "null");
  const found = report
    ? [...Object.entries(report.removed).filter(([, count]) => count > 0), ...report.left]
    : ["no answer"];
  if (found.length === 0) return { passed: 1, failed: 0 };
  process.stdout.write(`the tests left something behind: ${JSON.stringify(found)}\n`);
  return { passed: 0, failed: 1 };
}

/** A part that ends badly without naming a failed test has failed all the same. */
function atLeastOne(failed, code) {
  return code !== 0 && failed === 0 ? 1 : failed;
}

async function readJson(path) {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}
