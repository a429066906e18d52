import { availableParallelism } from "node:os";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { bareContestant } from "./contestants.ts";
import { type Figures, figures } from "./figures.ts";
import { inFlight } from "./in-flight.ts";
import { type Part, ratio } from "./part.ts";
import { cpuSeconds } from "./process-cost.ts";
import { type Serving, startServing, withoutPool } from "./serving.ts";

const bar = 0.9;
const concurrencies = [1, 2, 4, 8] as const;
/** Of one batch: enough that its beginning and its end do not count for much. */
const containers = 40;
const maxRounds = 5;

/** How many containers a second come and go for good: tasks of a server at full load, beside the engine's own at its best. */
export const churnPart: Part = {
  name: "churn",
  async measure(bench) {
    await using stack = new AsyncDisposableStack();
    const house = stack.use(await openHouse(loadConfig(bench.checkout, bench.env)));
    const image = await house.parts.images.resolve("shell", new AbortController().signal);
    if (image === null) throw new Error("the image shell is not allowed here");
    const { limits } = house.parseTask({ task_id: "bench", tool_name: "shell", payload: { argv: ["true"] } });
    const bare = await bareContestant(house.docker, image.id, limits);
    const slots = { TOOL_EXECUTOR_MAX_WORKERS: String(Math.max(...concurrencies)) };
    const server = stack.use(await startServing(bench, "server", { ...withoutPool, ...slots }));

    const rounds = Math.min(bench.rounds, maxRounds);
    const seen = concurrencies.map((concurrency) => ({ concurrency, ours: [] as Batch[], theirs: [] as Batch[] }));
    for (let round = -1; round < rounds; round += 1)
      for (const { concurrency, ours, theirs } of seen) {
        // One of each to warm up.
        const one = await ourBatch(server, concurrency);
        const seconds = await inFlight(containers, concurrency, () => bare.round(0));
        if (round < 0) continue;
        ours.push(one);
        theirs.push({ seconds, cpuSeconds: 0 });
      }

    const rate = (batches: readonly Batch[]): Figures => figures(batches.map(({ seconds }) => containers / seconds));
    const best = (side: "ours" | "theirs") =>
      seen
        .map((each) => ({ ...each, rate: rate(each[side]) }))
        .reduce((a, b) => (b.rate.median > a.rate.median ? b : a));
    const [ourBest, theirBest] = [best("ours"), best("theirs")];
    const cost = figures(ourBest.ours.map((each) => (1000 * each.cpuSeconds) / containers));
    const share = figures(ourBest.ours.map((each) => each.cpuSeconds / each.seconds / availableParallelism()));
    return {
      conditions: {
        task: "true in the image shell, runc; ours over HTTP to a server without a pool, until its containers are gone",
        store: "SQLite, full sync",
        best: `ours with ${ourBest.concurrency} at once, the engine with ${theirBest.concurrency}`,
      },
      tables: [
        {
          title: `containers a second, ${rounds} interleaved rounds of ${containers} after one to warm up`,
          rows: seen.flatMap(({ concurrency, ours, theirs }) => [
            [`toolx serve, ${concurrency} at once`, rate(ours)] as const,
            [`bare engine loop, ${concurrency} at once`, rate(theirs)] as const,
          ]),
        },
      ],
      verdicts: [
        ratio("toolx serve / bare engine loop, each at its best", ourBest.rate.median / theirBest.rate.median, "more", {
          atLeast: bar,
        }),
        { name: "the orchestrator's processor time a task", value: cost.median, unit: "ms", bar: null },
        { name: "its share of all processors", value: 100 * share.median, unit: "%", bar: null },
      ],
      chart: {
        title: "Containers a second that come and go, at full load",
        note: `Medians of ${rounds} interleaved rounds of ${containers} containers.`,
        panels: [
          {
            ...{ kind: "lines", axis: "containers a second, more is better", placesAxis: "at once" },
            places: concurrencies,
            lines: [
              { name: "toolx serve", values: seen.map(({ ours }) => rate(ours).median), isOurs: true },
              { name: "bare engine loop", values: seen.map(({ theirs }) => rate(theirs).median), isOurs: false },
            ],
          },
        ],
      },
    };
  },
};

interface Batch {
  readonly seconds: number;
  /** The server's. */
  readonly cpuSeconds: number;
}

/** To the last one gone: the engine has its work with the end of a container, too. */
async function ourBatch(server: Serving, concurrency: number): Promise<Batch> {
  const before = await cpuSeconds(server.pid);
  const startedAt = performance.now();
  await inFlight(containers, concurrency, () => server.succeed(aTask(), false));
  await server.idle();
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, cpuSeconds: (await cpuSeconds(server.pid)) - before };
}

let taskCount = 0;

const aTask = (): object => ({
  task_id: `churn-${process.pid}-${taskCount++}`,
  tool_name: "shell",
  payload: { argv: ["true"] },
});
