import { setTimeout as sleep } from "node:timers/promises";
import { loadConfig } from "../../src/app/config.ts";
import { openHouse } from "../../src/app/house.ts";
import { until } from "../support/until.ts";
import type { Chart, LinesPanel } from "./chart.ts";
import { bareContestant } from "./contestants.ts";
import { type Figures, figures } from "./figures.ts";
import { inFlight } from "./in-flight.ts";
import { type Part, ratio } from "./part.ts";
import { busyShare, cpuSeconds, memoryMib } from "./process-cost.ts";
import { type Serving, startServing, withoutPool } from "./serving.ts";

const levels: readonly number[] = [1, 10, 50, 100, 200];
const memoryBarMib = 250;
const memoryBarAt = 100;
/** Of one level, at least: with few in flight, too, there is a 99th percentile. */
const leastTasks = 20;
const heldMs = 600_000;
const settleMs = 2000;
const fullShare = 0.95;

/**
 * More and more at once: tasks in flight, each `true`, beside as many bare loops on the engine; and tasks that all run and wait, for what our
 * process holds meanwhile. Nothing that fails ends it: what fails first is what is to be found.
 */
export const scalePart: Part = {
  name: "scale",
  async measure(bench) {
    await using stack = new AsyncDisposableStack();
    const house = stack.use(await openHouse(loadConfig(bench.checkout, bench.env)));
    const image = await house.parts.images.resolve("shell", new AbortController().signal);
    if (image === null) throw new Error("the image shell is not allowed here");
    const { limits } = house.parseTask({ task_id: "bench", tool_name: "shell", payload: { argv: ["true"] } });
    const bare = await bareContestant(house.docker, image.id, limits);
    const slots = { TOOL_EXECUTOR_MAX_WORKERS: String(levels.at(-1)) };
    const server = stack.use(await startServing(bench, "server", { ...withoutPool, ...slots }));

    await flow(2, 5, () => ourTask(server));
    await flow(2, 5, () => bareLoop(bare));
    const seen: Level[] = [];
    for (const level of levels) {
      bench.tell(`${level} at once`);
      const count = Math.max(2 * level, leastTasks);
      const cpuBefore = await cpuSeconds(server.pid);
      const ours = await flow(level, count, () => ourTask(server));
      await server.idle();
      const ourCpu = (await cpuSeconds(server.pid)) - cpuBefore;
      const theirs = await flow(level, count, () => bareLoop(bare));
      seen.push({ level, ours, theirs, ourCpuShare: ourCpu / ours.seconds, held: await held(server, level) });
    }
    const atBar = seen.find(({ level }) => level === memoryBarAt);
    return {
      conditions: {
        task: "true in the image shell, runc, over HTTP; a server without a pool, as many slots as the most at once",
        held: "tasks that sleep, all of them running",
        store: "SQLite, full sync",
        "what breaks first": whatBreaksFirst(seen),
      },
      tables: [],
      grids: [
        {
          title:
            "one pass, a level ours and then the engine's; times from the request to the stored result, or to all gone",
          columns: [
            ...["at once", "tasks", "ours p50 ms", "p99 ms", "tasks/s", "failed"],
            ...["engine p50 ms", "p99 ms", "loops/s", "failed"],
            ...["machine busy %", "ours % of one", "running", "our MiB"],
          ],
          rows: seen.map(({ level, ours, theirs, ourCpuShare, held }) => [
            ...[level, ours.count, ours.times.median, ours.times.p99, ours.rate, failedCount(ours)],
            ...[theirs.times.median, theirs.times.p99, theirs.rate, failedCount(theirs)],
            ...[100 * ours.busy, 100 * ourCpuShare, held.running, held.mib],
          ]),
        },
      ],
      verdicts: [
        ...(atBar === undefined
          ? []
          : [
              {
                ...{ name: `our memory, ${atBar.held.running} tasks running`, value: atBar.held.mib, unit: "MiB" },
                bar: { atMost: memoryBarMib },
              },
            ]),
        ...seen.map(({ level, ours, theirs }) =>
          ratio(`rate, ${level} at once, toolx serve / bare engine loop`, ours.rate / theirs.rate, "more"),
        ),
        {
          ...{ name: "tasks that failed", unit: "tasks", bar: { atMost: 0 } },
          value: seen.reduce((sum, { ours }) => sum + failedCount(ours), 0),
        },
      ],
      chart: chartOf(seen),
    };
  },
};

interface Level {
  readonly level: number;
  readonly ours: Flow;
  readonly theirs: Flow;
  /** Of one processor. */
  readonly ourCpuShare: number;
  readonly held: Held;
}

interface Flow {
  readonly count: number;
  readonly times: Figures;
  /** Those that succeeded, a second. */
  readonly rate: number;
  readonly seconds: number;
  /** Why, and how often. */
  readonly failures: ReadonlyMap<string, number>;
  /** Of all processors, whoever used them. */
  readonly busy: number;
}

/** @param one answers null, or why it failed. */
async function flow(level: number, count: number, one: () => Promise<string | null>): Promise<Flow> {
  const times: number[] = [];
  const failures = new Map<string, number>();
  const busy = busyShare();
  const seconds = await inFlight(count, level, async () => {
    const startedAt = performance.now();
    const failure = await one();
    if (failure === null) times.push(performance.now() - startedAt);
    else failures.set(failure, (failures.get(failure) ?? 0) + 1);
  });
  if (times.length === 0) throw new Error(`${level} at once: all failed: ${[...failures.keys()].join("; ")}`);
  return { count, times: figures(times), rate: times.length / seconds, seconds, failures, busy: busy() };
}

let taskCount = 0;

async function ourTask(server: Serving): Promise<string | null> {
  const task_id = `scale-${process.pid}-${taskCount++}`;
  const { result } = await server.run({ task_id, tool_name: "shell", payload: { argv: ["true"] } });
  return result.reason === "ok" ? null : `${result.reason}: ${result.error?.message.replaceAll(/[0-9a-f]{12,}/g, "…")}`;
}

const bareLoop = async (bare: { round(number: number): Promise<unknown> }): Promise<string | null> =>
  await bare.round(0).then(
    () => null,
    (error: unknown) => (error instanceof Error ? error.message.replaceAll(/[0-9a-f]{12,}/g, "…") : String(error)),
  );

interface Held {
  /** So many of those that were asked for. */
  readonly running: number;
  readonly mib: number;
}

async function held(server: Serving, level: number): Promise<Held> {
  const ids = Array.from({ length: level }, (_, index) => `held-${process.pid}-${level}-${index}`);
  const payload = { argv: ["sleep", "3600"] };
  const limits = { timeout_seconds: 600 };
  for (const task_id of ids) await server.ask("POST", "/v1/tasks", { task_id, tool_name: "shell", payload, limits });
  const running = await until(
    `${level} tasks run`,
    async () => {
      await sleep(200);
      const [run, open] = [await countOf(server, "RUNNING"), await countOf(server, "unfinished")];
      return run === open ? { run } : null;
    },
    heldMs,
  );
  await sleep(settleMs);
  const mib = await memoryMib(server.pid, "VmRSS");
  await Promise.all(ids.map((id) => server.ask("DELETE", `/v1/tasks/${id}`)));
  await server.idle();
  return { running: running.run, mib };
}

async function countOf(server: Serving, state: string): Promise<number> {
  const { body } = await server.ask("GET", `/v1/tasks?state=${state}&limit=1000`);
  return (JSON.parse(body) as { readonly tasks: readonly unknown[] }).tasks.length;
}

const failedCount = ({ failures }: Flow): number => [...failures.values()].reduce((sum, count) => sum + count, 0);

function whatBreaksFirst(seen: readonly Level[]): string {
  for (const { level, ours } of seen) {
    const [first] = ours.failures;
    if (first !== undefined) return `at ${level} at once, ${first[1]} of ${ours.count} tasks: ${first[0]}`;
  }
  const full = seen.find(({ ours }) => ours.busy >= fullShare);
  const processors = full === undefined ? "and no processor was full" : fullWords(full);
  return `nothing up to ${seen.at(-1)?.level} at once; ${processors}`;
}

const fullWords = ({ level, ours, ourCpuShare }: Level): string =>
  `first to run out are the processors: ${Math.round(100 * ours.busy)} % busy from ${level} at once on, ours ${Math.round(100 * ourCpuShare)} % of one`;

function chartOf(seen: readonly Level[]): Chart {
  const panel = (axis: string, lines: LinesPanel["lines"]): LinesPanel => ({
    ...{ kind: "lines", axis, placesAxis: "at once", lines },
    places: seen.map(({ level }) => level),
  });
  return {
    title: "More and more tasks at once",
    note: `What breaks first: ${whatBreaksFirst(seen)}`.slice(0, 140),
    panels: [
      panel("seconds to the stored result, less is better", [
        { name: "toolx serve, p50", values: seen.map(({ ours }) => ours.times.median / 1000), isOurs: true },
        {
          name: "toolx serve, p99",
          values: seen.map(({ ours }) => ours.times.p99 / 1000),
          isOurs: true,
          isDashed: true,
        },
        { name: "bare engine loop, p50", values: seen.map(({ theirs }) => theirs.times.median / 1000), isOurs: false },
        {
          name: "bare engine loop, p99",
          values: seen.map(({ theirs }) => theirs.times.p99 / 1000),
          ...{ isOurs: false, isDashed: true },
        },
      ]),
      panel("a second, more is better", [
        { name: "toolx serve, tasks", values: seen.map(({ ours }) => ours.rate), isOurs: true },
        { name: "bare engine loop", values: seen.map(({ theirs }) => theirs.rate), isOurs: false },
      ]),
      panel("MiB resident of our process, tasks that all run", [
        { name: "toolx serve", values: seen.map(({ held }) => held.mib), isOurs: true },
      ]),
    ],
  };
}
