import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Cli, openCli } from "./cli.ts";
import { hashesOfHost } from "./host-files.ts";
import { type Server, shellCall, startServer, stopServer } from "./server.ts";
import { until } from "./until.ts";

/** One input that a door is tried with, and what it may leave. */
export interface DoorCase {
  /** Of the row. */
  readonly id: string;
  readonly name: string;
  /** Tasks that are there afterwards and were not before; nothing of what is refused. */
  readonly tasks: number;
  act(ground: ServedGround): Promise<void>;
}

/** A `toolx serve` for all cases of a file: what one of them breaks, the next one meets. */
export interface ServedGround extends AsyncDisposable {
  readonly server: Server;
  /** The server's own data folder, without a server's address: what it is asked goes over the local socket. */
  readonly toolx: Cli;
  /** Command lines of somebody else, with a data folder of their own. */
  readonly other: Cli;
  /** API keys of the tenants `acme` and `other`: secrets, to be found nowhere. */
  readonly keys: { readonly acme: string; readonly other: string };
  /** What was answered or printed in the case; looked through for secrets. */
  saw(...texts: readonly string[]): void;
  /** Acts, and checks what must hold after every case. */
  hold(one: DoorCase): Promise<void>;
}

const settleMs = 10_000;
/** More than the time between two passes of a server's reaper. */
const passMs = 5_000;
const lookMs = 20;
const rssGrowthBytes = 64 * 1024 * 1024;

export async function servedGround(settings: Readonly<Record<string, string>> = {}): Promise<ServedGround> {
  await using stack = new AsyncDisposableStack();
  const toolx = stack.use(await openCli());
  const other = stack.use(await openCli());
  const keyOf = async (tenant: string): Promise<string> =>
    (await toolx.run(["keys", "create", "--tenant", tenant])).stdout.trim();
  const keys = { acme: await keyOf("acme"), other: await keyOf("other") };
  const server = await startServer(toolx, {
    TOOL_EXECUTOR_MAX_WORKERS: "2",
    TOOL_EXECUTOR_DRAIN_SECONDS: "0",
    ...settings,
  });
  const atRest = await leftOf({ toolx, other });
  await warmedUp(server, keys.other);
  await until(
    "the sandboxes of the first tasks are gone",
    async () => isSame(await leftOf({ toolx, other }), atRest),
    settleMs,
  );
  const filesAtRest = await mostFilesWithin(server, passMs);
  const held = stack.move();
  let seen: string[] = [];
  const ground: ServedGround = {
    server,
    toolx,
    other,
    keys,
    saw: (...texts) => void seen.push(...texts),
    async hold(one) {
      seen = [];
      const before = await factsOf(ground);
      await one.act(ground);
      await until("I1 nothing of the case is left", async () => isSame(await leftOf(ground), before.left), settleMs);
      expect(server.process.child.exitCode, "I2 the server's exit code").toBeNull();
      const files = Math.max(before.files, filesAtRest);
      await until(`I2 at most ${files} open files again`, () => filesOf(server) <= files, settleMs);
      const mayHold = before.rssBytes + rssGrowthBytes;
      await until("I2 memory within 64 MiB again", () => rssBytesOf(server) <= mayHold, settleMs);
      expect(await hashesOfHost(), "I4 files outside").toEqual(before.host);
      expect(await otherOutput(ground), "I4 another task's output").toBe(before.other);
      for (const [index, { dataDir }] of [toolx, other].entries()) {
        const was = before.tasks[index] ?? new Map();
        const now = await until("I5 every task has ended", () => allEnded(tasksOf(dataDir)), settleMs);
        for (const [key, task] of was) expect(now.get(key), `I5 what ${key} ended as`).toEqual(task);
        for (const [key, { results }] of now) expect(results, `I5 results of ${key} to send`).toBe(1);
      }
      const count = await countOf(ground);
      expect(count - before.count, "I5 tasks more than before").toBe(one.tasks);
      await secretsNowhere(ground, seen);
    },
    async [Symbol.asyncDispose]() {
      try {
        await stopServer(server);
        expect([...(await toolx.leftovers()), ...(await other.leftovers())]).toEqual([]);
      } finally {
        await held.disposeAsync();
      }
    },
  };
  return ground;
}

/** Grown to the size that it serves with, and with one task of somebody else to lose. */
async function warmedUp(server: Server, key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const post = (call: object) =>
    server.ask("/v1/tasks?wait=60s", { method: "POST", headers, body: JSON.stringify(call) });
  const kept = await post(shellCall("kept", "echo kept; head -c 100000 /dev/urandom >/output/kept"));
  if (kept.status !== 200) throw new Error(`the other task ended with ${kept.status}: ${kept.body}`);
  for (let time = 0; time < 8; time += 1) {
    await post({ ...shellCall("wide", "true"), stdin: "x".repeat(8_000_000), nonsense: true });
    await post(shellCall(`warm-${time}`, "true", { stdin: "x".repeat(1_000_000) }));
  }
}

async function factsOf(ground: ServedGround) {
  const { server, toolx, other } = ground;
  return {
    left: await leftOf(ground),
    files: filesOf(server),
    rssBytes: rssBytesOf(server),
    host: await hashesOfHost(),
    other: await otherOutput(ground),
    tasks: [toolx, other].map(({ dataDir }) => tasksOf(dataDir)),
    count: await countOf(ground),
  };
}

const leftOf = async ({ toolx, other }: Pick<ServedGround, "toolx" | "other">): Promise<readonly string[]> =>
  [...(await toolx.leftovers()), ...(await other.leftovers())].sort();

const isSame = (one: readonly string[], other: readonly string[]): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

/** Its connections to the engine come with each pass of its reaper, and are kept for a while: a single look may fall between two. */
async function mostFilesWithin(server: Server, ms: number): Promise<number> {
  let most = 0;
  for (const endsAt = performance.now() + ms; performance.now() < endsAt; await sleep(lookMs))
    most = Math.max(most, filesOf(server));
  return most;
}

const filesOf = ({ process }: Server): number => readdirSync(`/proc/${process.child.pid}/fd`).length;

function rssBytesOf({ process }: Server): number {
  const status = readFileSync(`/proc/${process.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

interface StoredTask {
  readonly state: string;
  readonly sha256: string | null;
  /** Rows of the outbox that stand for its result. */
  readonly results: number;
}

/** Of one data folder, by tenant and id; none where there is no store yet. */
function tasksOf(dataDir: string): ReadonlyMap<string, StoredTask> {
  try {
    using database = new DatabaseSync(join(dataDir, "tasks.db"), { readOnly: true });
    const rows = database
      .prepare(
        `select tenant_id, task_id, state, result,
          (select count(*) from outbox where kind = 'result' and outbox.tenant_id = tasks.tenant_id
            and outbox.task_id = tasks.task_id) as results
        from tasks`,
      )
      .all();
    return new Map(
      rows.map(({ tenant_id, task_id, state, result, results }) => {
        const sha256 = result instanceof Uint8Array ? createHash("sha256").update(result).digest("hex") : null;
        return [`${tenant_id}/${task_id}`, { state: String(state), sha256, results: Number(results) }];
      }),
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_SQLITE_ERROR") return new Map();
    throw error;
  }
}

const allEnded = (tasks: ReadonlyMap<string, StoredTask>): ReadonlyMap<string, StoredTask> | null =>
  [...tasks.values()].every(({ state }) => state === "FINISHED") ? tasks : null;

const countOf = async ({ toolx, other }: ServedGround): Promise<number> =>
  tasksOf(toolx.dataDir).size + tasksOf(other.dataDir).size;

/** Hash of what the other tenant's task left. */
async function otherOutput({ server, keys }: ServedGround): Promise<string> {
  const hash = createHash("sha256");
  const headers = { authorization: `Bearer ${keys.other}` };
  for (const path of ["", "/logs", "/artifacts/kept"]) {
    const { status, body } = await server.ask(`/v1/tasks/kept${path}`, { headers });
    hash.update(`${status}\n`).update(body);
  }
  return hash.digest("hex");
}

/** In nothing that a key's holder has not been given: files, streams, answers. */
async function secretsNowhere(ground: ServedGround, seen: readonly string[]): Promise<void> {
  const secrets = Object.values(ground.keys).map((key) => key.slice(-43));
  const expectNone = (where: string, bytes: Buffer | string): void => {
    for (const secret of secrets) expect(bytes.includes(secret), `I6 a key's secret in ${where}`).toBe(false);
  };
  const { process } = ground.server;
  expectNone("what the server wrote", process.stdout() + process.stderr());
  for (const text of seen) expectNone("an answer", text);
  expectNone("/metrics", (await ground.server.ask("/metrics")).body);
  for (const { dataDir } of [ground.toolx, ground.other]) {
    for (const name of await readdir(dataDir, { recursive: true }).catch(() => [])) {
      // Files go while we look.
      expectNone(name, await readFile(join(dataDir, name)).catch(() => ""));
    }
  }
}
