import { join } from "node:path";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { bareContestant, type Contestant, lineContestant, processContestant } from "./contestants.ts";
import { figures } from "./figures.ts";
import type { Part, Table } from "./part.ts";
import { watchedParts } from "./phases.ts";

const coldStartBar = 1.3;
const warmUpRounds = 3;

/** A cold start, both sides of each figure in one interleaved run. */
export const startPart: Part = {
  name: "start",
  async measure({ checkout, env, rounds, withPhases }) {
    await using house = await openHouse(loadConfig(checkout, env));
    const image = await house.parts.images.resolve("shell", new AbortController().signal);
    if (image === null) throw new Error("the image shell is not allowed here");
    const { limits } = house.parseTask({ task_id: "bench", tool_name: "shell", payload: { argv: ["true"] } });
    const { parts, phases } = watchedParts(house.parts);
    const line = lineContestant(house, withPhases ? parts : house.parts);
    const bare = await bareContestant(house.docker, image.id, limits);
    const toolx = processContestant("toolx run", join(checkout, "bin/toolx"), ["run", "shell", "--", "true"], env);
    const dockerRun = processContestant(
      "docker run --rm",
      "docker",
      ["run", "--rm", "--entrypoint", "/bin/true", image.id],
      env,
    );

    const samples = await interleaved([line, toolx, bare, dockerRun], rounds);
    const median = (name: string): number => figures(samples.get(name) ?? []).median;
    const rows = (times: ReadonlyMap<string, readonly number[]>): Table["rows"] =>
      [...times].map(([name, each]) => [name, figures(each)]);
    const title = `milliseconds, ${rounds} interleaved rounds after ${warmUpRounds} to warm up`;
    // Warm-up rounds are in the phases: they show where time goes, not how much.
    const phasesTable = { title: "the line by its calls, milliseconds a call", rows: rows(phases) };
    const ratio = (one: string, other: string): number => median(one) / median(other);
    return {
      conditions: { task: "true in the image shell, runc", store: "SQLite, full sync" },
      tables: [{ title, rows: rows(samples) }, ...(withPhases ? [phasesTable] : [])],
      verdicts: [
        {
          name: "line, cold, to all gone / bare engine loop",
          value: ratio("line, cold, to all gone", "bare engine loop, to all gone"),
          unit: "×",
          bar: { atMost: coldStartBar },
        },
        {
          name: "line, cold, to result / bare engine loop",
          value: ratio("line, cold, to result", "bare engine loop, to all gone"),
          unit: "×",
          bar: null,
        },
        {
          name: "toolx run / docker run --rm",
          value: ratio("toolx run, whole process", "docker run --rm, whole process"),
          unit: "×",
          bar: null,
        },
      ],
    };
  },
};

/** Every contestant once a round, so that whatever else the machine does meets them all alike. */
async function interleaved(
  contestants: readonly Contestant[],
  rounds: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
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
