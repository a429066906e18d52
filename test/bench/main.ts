import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../../src/app/config.ts";
import { type House, openHouse } from "../../src/app/house.ts";
import { bareContestant, type Contestant, lineContestant, processContestant } from "./contestants.ts";
import { figures, figuresTable } from "./figures.ts";
import { type Phases, watchedParts } from "./phases.ts";

/** `npm run bench`: the promises in numbers, both sides of each in one interleaved run (docs/promises.md). */
const coldStartBar = 1.3;
const warmUpRounds = 3;

const { values: flags } = parseArgs({
  options: { runs: { type: "string", default: "20" }, phases: { type: "boolean", default: false } },
});
const rounds = Number(flags.runs);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--runs is ${flags.runs}, must be a whole number from 1`);

const checkout = dirname(dirname(import.meta.dirname));
const folder = await mkdtemp(join(tmpdir(), "toolx-bench-"));
const env = {
  ...process.env,
  TOOL_EXECUTOR_DATA: join(folder, "data"),
  SANDBOX_ROOT: join(folder, "scratch"),
  TOOL_EXECUTOR_RUNTIME_DIR: join(folder, "run"),
};
try {
  await using house = await openHouse(loadConfig(checkout, env));
  process.exitCode = await bench(house);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function bench(house: House): Promise<number> {
  const image = await house.parts.images.resolve("shell", new AbortController().signal);
  if (image === null) throw new Error("the image shell is not allowed here");
  const { limits } = house.parseTask({ task_id: "bench", tool_name: "shell", payload: { argv: ["true"] } });
  const { parts, phases } = watchedParts(house.parts);
  const line = lineContestant(house, flags.phases ? parts : house.parts);
  const bare = await bareContestant(house.docker, image.id, limits);
  const toolx = processContestant("toolx run", join(checkout, "bin/toolx"), ["run", "shell", "--", "true"], env);
  const dockerRun = processContestant(
    "docker run --rm",
    "docker",
    ["run", "--rm", "--entrypoint", "/bin/true", image.id],
    env,
  );

  await printMachine(house);
  const samples = await interleaved([line, toolx, bare, dockerRun]);
  const median = (name: string): number => figures(samples.get(name) ?? []).median;
  process.stdout.write(`\nmilliseconds, ${rounds} interleaved rounds after ${warmUpRounds} to warm up\n`);
  process.stdout.write(figuresTable([...samples].map(([name, times]) => [name, figures(times)])));
  if (flags.phases) printPhases(phases);

  const coldStart = median("line, cold, to all gone") / median("bare engine loop, to all gone");
  const toResult = median("line, cold, to result") / median("bare engine loop, to all gone");
  const wholeProcess = median("toolx run, whole process") / median("docker run --rm, whole process");
  const held = coldStart <= coldStartBar;
  process.stdout.write(`
line, cold, to all gone / bare engine loop  ${coldStart.toFixed(2)}  (at most ${coldStartBar}: ${held ? "held" : "MISSED"})
line, cold, to result   / bare engine loop  ${toResult.toFixed(2)}  (for information)
toolx run / docker run --rm                 ${wholeProcess.toFixed(2)}  (for information)
`);
  return held ? 0 : 1;
}

/** Every contestant once a round, so that whatever else the machine does meets them all alike. */
async function interleaved(contestants: readonly Contestant[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const samples = new Map<string, number[]>();
  for (let number = -warmUpRounds; number < rounds; number += 1) {
    for (const contestant of contestants) {
      const round = await contestant.round(number + warmUpRounds);
      if (number < 0) continue;
      for (const [what, ms] of Object.entries(round)) {
        const name = `${contestant.name}, ${what}`;
        samples.set(name, [...(samples.get(name) ?? []), ms]);
      }
    }
  }
  return samples;
}

async function printMachine({ docker }: House): Promise<void> {
  const [version, info] = await Promise.all([docker.version(), docker.info()]);
  const [processor] = cpus();
  process.stdout.write(`machine  ${cpus().length} × ${processor?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB
kernel   ${version.KernelVersion}, cgroup v${info.CgroupVersion ?? "1"}, ${info.Driver}
engine   ${version.Version} (API ${version.ApiVersion}), runtime ${info.DefaultRuntime}, node ${process.version}
load     ${loadavg()
    .map((load) => load.toFixed(2))
    .join(" ")}
`);
}

/** Warm-up rounds are in these: they show where time goes, not how much. */
function printPhases(phases: Phases): void {
  process.stdout.write("\nthe line by its calls, milliseconds a call\n");
  process.stdout.write(figuresTable([...phases].map(([name, times]) => [name, figures(times)])));
}
