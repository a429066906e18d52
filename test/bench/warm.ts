import { access } from "node:fs/promises";
import { tmpdir } from "node:os";
import { loadConfig } from "../../src/app/config.ts";
import { dockerAt, openHouse } from "../../src/app/house.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { type Postgres, startPostgres } from "../support/services.ts";
import { type Contestant, dockerRunContestant, servedContestant } from "./contestants.ts";
import { figuresOf, interleaved, medianOf, rowsOf, type Samples } from "./interleaved.ts";
import { computingContestant, paced, steadyFigures, withoutPace } from "./pace.ts";
import { type Bench, type Part, type Report, ratio, type Verdict } from "./part.ts";
import { type Serving, startServing, withPool } from "./serving.ts";
import { type CallWatch, callWatch, slowCallsGrid, slowCallsText } from "./slow-calls.ts";

const warmUpRounds = 2;
/** In a row, as a client makes them that waits for each answer; with 40 rounds more than 300. */
const callsARound = 8;
const readyCount = 2;
const task = { tool_name: "shell", payload: { argv: ["true"] } };
/** The same with a way out, which nobody takes. */
const taskWithWayOut = { ...task, network: { allow: ["registry.example:443"] } };
/** Milliseconds, and how many times `docker run --rm`. */
const bars = {
  runc: { median: 8, p99: 25, timesFaster: 25 },
  runsc: { median: 18, p99: null, timesFaster: null },
} as const;
type Runtime = keyof typeof bars;
/** Milliseconds, of the other thing that is timed: no more than a call of ours takes there as a rule. */
const computingMs = { runc: 5, runsc: 12 } as const;
/** A call that took longer is told of by itself. */
const slowMs = (name: string): number => (name.startsWith("runsc") ? 50 : bars.runc.p99);
const computing = (runtime: Runtime): string => `${runtime}, beside it ${computingMs[runtime]} ms of computing`;
const wayOut = "network.allow";
const withAndWithoutWayOut = (store: string): readonly string[] => [store, `${store}, ${wayOut}`];

/**
 * A warm `true` over HTTP, from the request to the answer that is durably stored, beside `docker run --rm` of the same image under the same
 * runtime. Between any two it waits until all stand ready again, so that none meets a start.
 */
export const warmPart: Part = {
  name: "warm",
  async measure(bench) {
    const { image, hasGvisor } = await engineHas(bench);
    await using stack = new AsyncDisposableStack();
    const postgres = stack.use(await startPostgres());
    const database = stack.use(await freshDatabase(postgres));
    const { rows } = await database.client.query("show synchronous_commit");
    const commit: unknown = rows[0]?.synchronous_commit;
    if (commit !== "on") throw new Error(`synchronous_commit is ${commit}, must be on`);

    const socketUrl = await urlOfSocket(bench, postgres, database.url);
    const own = { SQLite: {}, PostgreSQL: { DATABASE_URL: socketUrl ?? database.url } };
    const watch = callWatch(tmpdir(), warmUpRounds * callsARound);
    const runc = await measured(bench, "runc", image, own, watch);
    const runsc = hasGvisor ? await measured(bench, "runsc", image, { SQLite: {} }, watch) : new Map();
    const all: Samples = new Map([...runc, ...runsc]);
    const samples = withoutPace(all);
    return {
      conditions: {
        task: "true in the image shell, over HTTP on a connection that is kept, one call at a time; timed by a client that does no more than write and read",
        calls: `${callsARound} in a row for each of ours in a round, as many computations that need nothing but a processor, and one docker run`,
        store: `SQLite, full sync; PostgreSQL in a container, ${socketUrl === null ? "through the engine's port proxy" : "over its Unix socket"}, synchronous_commit=on`,
        pool: `${readyCount} stand ready before each call`,
        gVisor: hasGvisor ? "runsc" : "not on this engine",
        "pace of the processor": paceText(all),
        "calls that took long": slowCallsText(watch.calls, slowMs),
      },
      tables: [
        {
          title: `milliseconds, ${bench.rounds} interleaved rounds a runtime after ${warmUpRounds} to warm up`,
          rows: rowsOf(samples),
        },
      ],
      grids: [slowCallsGrid(watch.calls, slowMs)],
      verdicts: [
        ...withAndWithoutWayOut("SQLite").flatMap((store) => verdictsOf(all, "runc", store)),
        ...withAndWithoutWayOut("PostgreSQL").flatMap((store) => verdictsOf(all, "runc", store)),
        computingVerdict(all, "runc"),
        ...(hasGvisor ? withAndWithoutWayOut("SQLite").flatMap((store) => verdictsOf(all, "runsc", store)) : []),
        ...(hasGvisor ? [computingVerdict(all, "runsc")] : []),
      ],
      chart: chartOf(samples, bench.rounds),
    };
  },
};

/** In the image of the tests. */
const socketFolder = "/tmp";

/**
 * The same database by the server's Unix socket, as on a machine that has both: the engine's proxy for a mapped port is no part of anybody's
 * PostgreSQL. Null where it cannot be reached from here: that takes root and an engine on this machine.
 */
async function urlOfSocket({ checkout, env }: Bench, { container }: Postgres, url: string): Promise<string | null> {
  const { State } = await dockerAt(loadConfig(checkout, env).dockerHost).getContainer(container.getId()).inspect();
  const folder = `/proc/${State.Pid}/root${socketFolder}`;
  const found = await access(`${folder}/.s.PGSQL.5432`).then(
    () => true,
    () => false,
  );
  const { username, password, pathname } = new URL(url);
  return found ? `postgres://${username}:${password}@localhost${pathname}?host=${folder}` : null;
}

async function engineHas({ checkout, env }: Bench): Promise<{ readonly image: string; readonly hasGvisor: boolean }> {
  const config = loadConfig(checkout, env);
  await using house = await openHouse(config);
  const image = await house.parts.images.resolve("shell", new AbortController().signal);
  if (image === null) throw new Error("the image shell is not allowed here");
  const { Runtimes = {} } = await dockerAt(config.dockerHost).info();
  return { image: image.id, hasGvisor: "runsc" in Runtimes };
}

/** Servers on these stores, and the engine's own client, in turn. */
async function measured(
  bench: Bench,
  runtime: Runtime,
  image: string,
  stores: Readonly<Record<string, Readonly<Record<string, string>>>>,
  watch: CallWatch,
): Promise<Samples> {
  await using stack = new AsyncDisposableStack();
  const servers: (readonly [store: string, server: Serving])[] = [];
  for (const [store, settings] of Object.entries(stores)) {
    const own = { ...withPool(readyCount, "shell"), TOOL_EXECUTOR_RUNTIMES: runtime, ...settings };
    servers.push([store, stack.use(await startServing(bench, `${runtime}-${store}`, own))]);
  }
  const settled = async (): Promise<void> => {
    for (const [, server] of servers) await server.allReady(readyCount);
  };
  await settled();
  const contestants: readonly Contestant[] = [
    ...servers.flatMap(([store, server]) => {
      const how = { isWarm: true, settled, watch };
      return [
        servedContestant(`${runtime}, ${store}`, server, task, how),
        servedContestant(`${runtime}, ${store}, ${wayOut}`, server, taskWithWayOut, how),
      ].map((each) => inARow(paced(each)));
    }),
    inARow(computingContestant(computing(runtime), computingMs[runtime], settled)),
    dockerRunContestant(`${runtime}, docker run --rm`, ["--runtime", runtime, "--entrypoint", "/bin/true", image]),
  ];
  return await interleaved(contestants, bench.rounds, warmUpRounds);
}

const inARow = (contestant: Contestant): Contestant => ({ ...contestant, times: callsARound });

function verdictsOf(samples: Samples, runtime: Runtime, store: string): readonly Verdict[] {
  const { median, p99 } = figuresOf(samples, `${runtime}, ${store}, ${took}`);
  const { steady } = steadyFigures(samples, `${runtime}, ${store}`, took);
  const bar = bars[runtime];
  const most = (atMost: number | null): Verdict["bar"] => (atMost === null ? null : { atMost });
  const faster = medianOf(samples, `${runtime}, docker run --rm, whole process`) / median;
  return [
    { name: `${runtime}, ${store}, p50`, value: median, unit: "ms", bar: most(bar.median) },
    { name: `${runtime}, ${store}, p99`, value: p99, unit: "ms", bar: most(bar.p99) },
    ...(steady === null
      ? []
      : [{ name: `${runtime}, ${store}, p99 at a steady pace`, value: steady.p99, unit: "ms", bar: null }]),
    ratio(
      `${runtime}, docker run --rm / ${store}`,
      faster,
      "more",
      bar.timesFaster === null ? null : { atLeast: bar.timesFaster },
    ),
  ];
}

/** Below this no p99 of ours can be expected to come: it is that of as much time on the same processors, with nothing else in it. */
function computingVerdict(samples: Samples, runtime: Runtime): Verdict {
  const { p99 } = figuresOf(samples, `${computing(runtime)}, computing`);
  return { name: `${computing(runtime)}, p99`, value: p99, unit: "ms", bar: null };
}

const took = "HTTP to result";

/** Whose p99 is the machine's: of all calls of ours, and of those that a slower processor was seen beside. */
function paceText(samples: Samples): string {
  const names = [...withoutPace(samples).keys()].filter((name) => name.endsWith(`, ${took}`));
  const each = names.map((name) => steadyFigures(samples, name.slice(0, -took.length - 2), took));
  const slow = each.map(({ slowShare }) => (100 * slowShare).toFixed(0));
  const [median, worst] = [each[0]?.pace.median ?? 0, Math.max(...each.map(({ pace }) => pace.max))];
  return `a fixed computation right before and after each call, ${median.toFixed(2)} ms as a rule, ${worst.toFixed(1)} at the most; more than 1.6 times the median beside ${slow.join(", ")} % of the calls`;
}

function chartOf(samples: Samples, rounds: number): NonNullable<Report["chart"]> {
  const shown = [...samples.keys()].filter((measured) => !measured.endsWith(", computing"));
  const bars = shown.map((measured) => {
    const { median, p99 } = figuresOf(samples, measured);
    const isOurs = !measured.includes("docker run");
    return { name: measured.replace(/, (HTTP to result|whole process)$/, ""), value: median, p99, isOurs };
  });
  return {
    title: "A warm sandbox and the answer of `true` in it, over HTTP",
    note: `Medians of ${rounds} interleaved rounds, ${callsARound} calls of ours in each; the tick is the 99th percentile.`,
    panels: [{ kind: "bars", axis: "milliseconds, less is better", bars }],
  };
}
