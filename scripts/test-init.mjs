// `npm run test:init`: the tests and fuzzers of the init program, with this machine's Go where it is new enough,
// otherwise in a container of the image that the program is built in; with `--in-container` there in any case. `--counts FILE` leaves
// how many passed and failed, and which.
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { goContainer, hasHostGo } from "./go.mjs";
import { asProgram, checkout } from "./step.mjs";

const sources = join(checkout, "sandbox-images/init");
/**
 * Inputs that a fuzzer tries: some seconds of them. By number, because Go fails a fuzzer whose time ends while an input is being
 * tried, which is at any time where the disk is slow.
 */
const fuzzInputs = { FuzzAnswerTo: 20_000, FuzzReader: 20_000 };
const fuzzInputsWithFiles = 500;

/** What each running test has printed so far. */
const printed = new Map();

await asProgram(async () => {
  const inContainer = process.argv.includes("--in-container");
  const go = (inContainer ? null : await hostGo()) ?? (await containerGo());
  try {
    const counts = await testAll(go.command);
    const file = process.argv.indexOf("--counts");
    if (file !== -1) await writeFile(process.argv[file + 1], JSON.stringify(counts));
    console.log(`init: ${counts.passed} passed, ${counts.failed} failed`);
    return counts.failed === 0 ? 0 : 1;
  } finally {
    await go.end();
  }
});

async function testAll(command) {
  const counts = { passed: 0, failed: 0, failures: [] };
  const count = (passed, name) => {
    counts[passed ? "passed" : "failed"] += 1;
    if (!passed) counts.failures.push(`sandbox-init: ${name}`);
  };
  const code = await eachLine(command, ["test", "-json", "-count=1", "./..."], (line) => countEvent(line, count));
  // A package that does not compile has no test to fail.
  if (code !== 0 && counts.failed === 0) count(false, "its tests do not run");
  for (const fuzzer of await fuzzers(command)) {
    const inputs = fuzzInputs[fuzzer] ?? fuzzInputsWithFiles;
    console.log(`fuzzing ${fuzzer} with ${inputs} inputs`);
    const args = ["test", "-run=^$", `-fuzz=^${fuzzer}$`, `-fuzztime=${inputs}x`, "-fuzzminimizetime=10x", "."];
    count((await eachLine(command, args, (line) => console.log(line))) === 0, fuzzer);
  }
  return counts;
}

/** Prints what did not pass; a test that was skipped has not passed. */
function countEvent(line, count) {
  const event = parseEvent(line);
  if (event === null) return console.log(line);
  if (event.Action === "build-output") process.stdout.write(event.Output);
  if (event.Test === undefined) return;
  if (event.Action === "output") return keepOutput(event);
  if (!["pass", "fail", "skip"].includes(event.Action)) return;
  if (event.Action !== "pass")
    console.log(`${event.Action} ${event.Test}\n${(printed.get(event.Test) ?? []).join("")}`);
  printed.delete(event.Test);
  count(event.Action === "pass", event.Test);
}

function keepOutput({ Test, Output }) {
  const lines = printed.get(Test) ?? [];
  lines.push(Output);
  printed.set(Test, lines);
}

function parseEvent(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

async function fuzzers(command) {
  const names = [];
  await eachLine(command, ["test", "-list=^Fuzz", "."], (line) => line.startsWith("Fuzz") && names.push(line.trim()));
  return names;
}

async function eachLine([program, ...first], args, onLine) {
  const child = spawn(program, [...first, ...args], { cwd: sources, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  for await (const line of createInterface({ input: child.stdout })) onLine(line);
  return await ended;
}

/** This machine's Go, if it is at least what go.mod asks for. */
async function hostGo() {
  const wanted = /^go (\d+\.\d+)/m.exec(await readFile(join(sources, "go.mod"), "utf8"));
  return wanted !== null && (await hasHostGo(wanted[1])) ? { command: ["go"], end: async () => {} } : null;
}

/** Go in a container without a network, with a copy of the sources. */
async function containerGo() {
  const container = await goContainer("none");
  try {
    await container.docker("cp", `${sources}/.`, `${container.id}:/src`);
  } catch (error) {
    await container.end();
    throw error;
  }
  return container;
}
