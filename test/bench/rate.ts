import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { migrateDatabase } from "../../src/adapters/postgres/schema.ts";
import { testDocker } from "../support/bare-container.ts";
import { addressOf } from "../support/fresh-database.ts";
import { startPostgres } from "../support/services.ts";
import { figures } from "./figures.ts";
import type { Bench, Part } from "./part.ts";
import type { RoundOfLoad } from "./rate/executor.ts";
import { serverFlags } from "./server-flags.ts";

const bar = 500;
const tasks = 1000;
/** Tasks under way at once: with fewer it would be the time of a commit that is measured. */
const slots = 100;
/** The executor's, and the database server's where there is another. */
const [executorCpu, databaseCpu] = [0, 1];

/**
 * How many tasks a second the executor carries by itself: over a transport in the process, through intake, lease, line and relay, with real
 * journals on disk and a real PostgreSQL, and no sandbox. All its threads have one processor.
 */
export const ratePart: Part = {
  name: "rate",
  async measure(bench) {
    await using database = await openDatabase(bench);
    const rounds = await roundsOfLoad(bench, database.url);
    const rate = figures(rounds.map(({ seconds }) => tasks / seconds));
    return {
      conditions: {
        task: "true on sandboxes in memory that end at once; four tenants",
        store: `${database.words}, synchronous_commit=${database.synchronousCommit}`,
        executor: `one process on processor ${executorCpu}, ${slots} slots, log level info to a pipe`,
      },
      tables: [
        {
          title: `${rounds.length} rounds of ${tasks} tasks after one to warm up`,
          rows: [
            ["tasks/s, first request offered to last result published", rate],
            [
              "ms of processor a task, the executor's",
              figures(rounds.map((round) => (1000 * round.cpuSeconds) / tasks)),
            ],
          ],
        },
      ],
      verdicts: [{ name: "orchestrator alone, median", value: rate.median, unit: "tasks/s", bar: { atLeast: bar } }],
    };
  },
};

interface Database extends AsyncDisposable {
  readonly url: string;
  readonly words: string;
  readonly synchronousCommit: string;
}

/** A database of its own with the newest schema, which is gone afterwards. */
async function openDatabase({ databaseUrl }: Bench): Promise<Database> {
  await using stack = new AsyncDisposableStack();
  const name = `bench_${randomBytes(4).toString("hex")}`;
  const server = databaseUrl ?? (await ownServer(stack));
  const admin = new pg.Client(server);
  await admin.connect();
  stack.defer(() => admin.end());
  await admin.query(`create database ${name}`);
  stack.defer(async () => void (await admin.query(`drop database ${name} with (force)`)));
  const url = new URL(server);
  url.pathname = name;
  await migrateDatabase(addressOf(url.href), new AbortController().signal);
  const { rows } = await admin.query("select current_setting('synchronous_commit') as sync, version() as version");
  const version = String(rows[0].version).split(" ").slice(0, 2).join(" ");
  const held = stack.move();
  return {
    url: url.href,
    words: `${version} ${databaseUrl === null ? placeWords() : "that was there"}`,
    synchronousCommit: String(rows[0].sync),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

const hasTwo = availableParallelism() > 1;

const placeWords = (): string =>
  `in a container${hasTwo ? ` on processor ${databaseCpu}` : ", which shares the executor's processor"}`;

async function ownServer(stack: AsyncDisposableStack): Promise<string> {
  const postgres = stack.use(await startPostgres());
  if (hasTwo)
    await testDocker()
      .getContainer(postgres.container.getId())
      .update({ CpusetCpus: String(databaseCpu) });
  return postgres.url();
}

/** The rounds of a process of its own. @throws what it says when it fails. */
async function roundsOfLoad(bench: Bench, url: string): Promise<readonly RoundOfLoad[]> {
  const script = join(import.meta.dirname, "rate/executor.ts");
  const child = spawn(
    "taskset",
    [
      ...["--cpu-list", String(executorCpu), process.execPath],
      ...serverFlags,
      "--disable-warning=ExperimentalWarning",
      ...["--min-semi-space-size=8", "--max-semi-space-size=8", script],
      ...["--tasks", String(tasks), "--rounds", String(Math.min(bench.rounds, 10)), "--checkout", bench.checkout],
    ],
    {
      env: {
        ...bench.env,
        ...{ DATABASE_URL: url, TOOL_EXECUTOR_MAX_WORKERS: String(slots) },
        ...{ MALLOC_ARENA_MAX: "2", MALLOC_MMAP_THRESHOLD_: "65536" },
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
  });
  const rounds: RoundOfLoad[] = [];
  for await (const line of createInterface({ input: child.stdout })) rounds.push(JSON.parse(line) as RoundOfLoad);
  if (child.exitCode === null) await once(child, "exit");
  if (child.exitCode !== 0) throw new Error(`the executor ended with ${child.exitCode}: ${said}`);
  return rounds;
}
