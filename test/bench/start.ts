import { join } from "node:path";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import type { Chart } from "./chart.ts";
import {
  bareContestant,
  type Contestant,
  dockerRunContestant,
  lineContestant,
  processContestant,
  servedContestant,
} from "./contestants.ts";
import { figuresOf, interleaved, medianOf, rowsOf, type Samples } from "./interleaved.ts";
import { type Part, ratio, type Table } from "./part.ts";
import { openPeers } from "./peers.ts";
import { watchedParts } from "./phases.ts";
import { startServing, withPool } from "./serving.ts";

const coldStartBar = 1.1;
const withServerBar = 0.6;
const withoutServerBar = 1.5;
/** What is made as ours are, without the engine's part in the network. */
const leanLoop = "bare engine loop without its network";
const warmUpRounds = 3;
const readyCount = 2;

/** From nothing to the answer of `true`, ours in each way to ask for it, beside the engine's own and other people's. */
export const startPart: Part = {
  name: "start",
  async measure(bench) {
    const { checkout, env, rounds, withPhases } = bench;
    await using stack = new AsyncDisposableStack();
    const house = stack.use(await openHouse(loadConfig(checkout, env)));
    const image = await house.parts.images.resolve("shell", new AbortController().signal);
    if (image === null) throw new Error("the image shell is not allowed here");
    const { limits } = house.parseTask({ task_id: "bench", tool_name: "shell", payload: { argv: ["true"] } });
    const { parts, phases } = watchedParts(house.parts);
    const server = stack.use(await startServing(bench, "server", withPool(readyCount, "shell")));
    const settled = (): Promise<void> => server.allReady(readyCount);
    await settled();
    const peers = bench.withPeers ? stack.use(await openPeers(bench, house.docker)) : null;

    const toolx = (name: string, its: NodeJS.ProcessEnv): Contestant =>
      processContestant(name, join(checkout, "bin/toolx"), ["run", "shell", "--", "true"], its);
    const task = { tool_name: "shell", payload: { argv: ["true"] } };
    const samples = await interleaved(
      [
        servedContestant("server, warm", server, task, { isWarm: true, settled }),
        lineContestant(house, withPhases ? parts : house.parts),
        { ...toolx("toolx run with a server", server.env), settled },
        toolx("toolx run", env),
        await bareContestant(house.docker, image.id, limits),
        await bareContestant(house.docker, image.id, limits, { name: leanLoop, withoutNetwork: true }),
        dockerRunContestant("docker run --rm", ["--entrypoint", "/bin/true", image.id]),
        ...(peers?.contestants ?? []),
      ],
      rounds,
      warmUpRounds,
    );
    const median = (name: string): number => medianOf(samples, name);
    const title = `milliseconds, ${rounds} interleaved rounds after ${warmUpRounds} to warm up`;
    // Warm-up rounds are in the phases: they show where time goes, not how much.
    const phasesTable: Table = { title: "the line by its calls, milliseconds a call", rows: rowsOf(phases) };
    const by = (one: string, other: string): number => median(one) / median(other);
    const [bare, dockerRun] = ["bare engine loop, to all gone", "docker run --rm, whole process"];
    return {
      conditions: {
        task: "true in the image shell, runc; the peers in an image of their own",
        store: "SQLite, full sync",
        peers: peers?.words ?? "left out (--no-peers)",
      },
      tables: [{ title, rows: rowsOf(samples) }, ...(withPhases ? [phasesTable] : [])],
      verdicts: [
        ratio("line, cold, to all gone / bare engine loop", by("line, cold, to all gone", bare), "less", {
          atMost: coldStartBar,
        }),
        ratio("line, cold, to result / bare engine loop", by("line, cold, to result", bare), "less"),
        ratio(
          `line, cold, to all gone / ${leanLoop}`,
          by("line, cold, to all gone", `${leanLoop}, to all gone`),
          "less",
        ),
        ratio("toolx run / docker run --rm", by("toolx run, whole process", dockerRun), "less", {
          atMost: withoutServerBar,
        }),
        ratio(
          "toolx run with a server / docker run --rm",
          by("toolx run with a server, whole process", dockerRun),
          "less",
          { atMost: withServerBar },
        ),
        ratio("docker run --rm / server, warm", by(dockerRun, "server, warm, HTTP to result"), "more"),
        ...(peers?.contestants ?? []).map(({ name }) =>
          ratio(`${name} / server, warm`, by(`${name}, to answer`, "server, warm, HTTP to result"), "more"),
        ),
      ],
      chart: chartOf(samples, rounds),
    };
  },
};

const shownAs: Readonly<Record<string, { readonly name: string; readonly isOurs: boolean }>> = {
  "server, warm, HTTP to result": { name: "toolx serve, warm, HTTP", isOurs: true },
  "line, cold, to result": { name: "the same, cold, one process", isOurs: true },
  "toolx run with a server, whole process": { name: "toolx run, with a server", isOurs: true },
  "toolx run, whole process": { name: "toolx run, by itself", isOurs: true },
  "bare engine loop, to all gone": { name: "bare engine loop", isOurs: false },
  [`${leanLoop}, to all gone`]: { name: leanLoop, isOurs: false },
  "docker run --rm, whole process": { name: "docker run --rm", isOurs: false },
  "llm-sandbox, to answer": { name: "llm-sandbox, to the answer", isOurs: false },
  "swe-rex, to answer": { name: "swe-rex, to the answer", isOurs: false },
};

function chartOf(samples: Samples, rounds: number): Chart {
  const bars = Object.entries(shownAs)
    .filter(([measured]) => samples.has(measured))
    .map(([measured, { name, isOurs }]) => {
      const { median, p99 } = figuresOf(samples, measured);
      return { name, value: median, p99, isOurs };
    });
  return {
    title: "A fresh container and the answer of `true` in it",
    note: `Median of ${rounds} interleaved rounds; the tick is the 99th percentile. Same machine, same engine.`,
    panels: [{ kind: "bars", axis: "milliseconds, less is better", bars }],
  };
}
