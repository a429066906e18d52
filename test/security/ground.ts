import { createHash, randomBytes } from "node:crypto";
import type { House } from "../../src/app/house.ts";
import type { Watcher } from "../../src/executor/parts.ts";
import { submit } from "../../src/executor/submit.ts";
import { attemptPrefix } from "../../src/model/attempt.ts";
import type { Result } from "../../src/model/result.ts";
import { type Task, type TaskKey, taskKey } from "../../src/model/task.ts";
import type { TaskRecord } from "../../src/ports/task-store.ts";
import { type ContainerFacts, type HostModules, settingFindings } from "../support/container-settings.ts";
import { type TestHouse, testHouse } from "../support/house.ts";

/** A request as far as a case cares; ids and the canary are added. */
export interface Request {
  readonly tool_name: string;
  readonly payload: Record<string, unknown>;
  readonly limits?: Record<string, unknown>;
  readonly image?: string;
  readonly stdin?: string;
  readonly files?: readonly object[];
  readonly tenant_id?: string;
  readonly not_before?: string;
  readonly network?: { readonly allow: readonly string[] };
}

/** How a case takes part in a run; everything is optional. */
export interface Hooks {
  readonly watcher?: Watcher;
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly cancel?: AbortSignal;
  /** Other parts than the house's own, such as one that fails. */
  readonly house?: House;
}

/** One task that came to its end. */
export interface Ran {
  readonly key: TaskKey;
  readonly result: Result;
  readonly record: TaskRecord;
  /** Of the container, as long as there was one. */
  readonly sandboxId: string | null;
}

/** What all cases run on: one house in this process. */
export interface Ground extends AsyncDisposable {
  readonly house: TestHouse;
  /** Stands in the environment of every task, and nowhere else. */
  readonly canary: string;
  /** Keys and results since the last call of {@link takeRuns}. */
  run(request: Request, hooks?: Hooks): Promise<Ran>;
  /** For what is to be refused: nothing of it is expected in the store. */
  refused(body: unknown): Promise<unknown>;
  /** An ordinary task of somebody else; milliseconds from the request to its result. */
  neighbour(): Promise<number>;
  takeRuns(): readonly Ran[];
  /** What the engine answered about our containers while they ran, and what this process wrote to stderr, since the last call. */
  takeSinks(): string;
  /** Of every container that was looked at: what is wrong with its settings. */
  readonly settingFindings: () => readonly string[];
  /** Containers that were made, and those of them that were looked at: all but where a case's engine did not answer. */
  readonly containers: () => { readonly made: number; readonly lookedAt: number };
  /** Hash of what an earlier task left: its result, its artifacts, its log. */
  otherTasksOutput(): Promise<string>;
}

/** @param settings of the house, as in the environment. */
export async function openGround(settings: Readonly<Record<string, string>> = {}): Promise<Ground> {
  await using stack = new AsyncDisposableStack();
  const house = stack.use(await testHouse(settings));
  const canary = `canary-${randomBytes(12).toString("hex")}`;
  const sinks: string[] = [];
  const wrongSettings: string[] = [];
  let made = 0;
  let lookedAt = 0;
  const host = await hostModules(house);
  stack.defer(tapStderr((text) => sinks.push(text)));
  let runs: Ran[] = [];
  let number = 0;

  const body = (request: Request): Record<string, unknown> => {
    number += 1;
    return { tenant_id: "hostile", ...request, task_id: `case-${number}`, env: { CANARY: canary } };
  };

  const look = (facts: unknown): void => {
    lookedAt += 1;
    sinks.push(JSON.stringify(facts));
    const container = facts as ContainerFacts;
    for (const one of settingFindings(container, host)) wrongSettings.push(`${one} of container ${container.Id}`);
  };

  const ran = async (task: Task, { house: other = house, watcher, stdin, cancel }: Hooks): Promise<Ran> => {
    const key = taskKey(task);
    const parts = { ...other.parts, sandboxes: inspected(other, () => made++, look) };
    const following = { watcher: watcher ?? (() => undefined), stdin: stdin ?? null };
    const result = await submit(parts, task, following, cancel ?? new AbortController().signal);
    const record = await other.parts.store.get(key, new AbortController().signal);
    if (record === null) throw new Error(`no row of ${key.taskId} after its result`);
    return { key, result, record, sandboxId: record.sandboxId };
  };

  const run = async (request: Request, hooks: Hooks = {}): Promise<Ran> => {
    const one = await ran(house.parseTask(body(request)), hooks);
    // A house of the case's own has a store of its own.
    if (await house.parts.store.get(one.key, new AbortController().signal)) runs.push(one);
    return one;
  };

  const other = await run({
    tool_name: "shell",
    payload: { command: "echo kept; head -c 100000 /dev/urandom >/output/kept" },
    tenant_id: "other",
  });
  const held = stack.move();
  return {
    house,
    canary,
    run,
    async refused(request) {
      try {
        await ran(house.parseTask(request), {});
      } catch (error) {
        return error;
      }
      throw new Error(`not refused: ${JSON.stringify(request)}`);
    },
    async neighbour() {
      const startedAt = performance.now();
      const { result } = await run({ tool_name: "shell", payload: { argv: ["true"] }, tenant_id: "neighbour" });
      if (result.reason !== "ok")
        throw new Error(`the neighbour's task ended ${result.reason}: ${result.error?.message}`);
      return performance.now() - startedAt;
    },
    takeRuns() {
      const taken = runs;
      runs = [];
      return taken;
    },
    takeSinks: () => sinks.splice(0).join("\n"),
    settingFindings: () => wrongSettings,
    containers: () => ({ made, lookedAt }),
    otherTasksOutput: () => outputHash(house, other.key),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The same sandboxes, each looked at through the engine while its task runs. None is taken away before. */
function inspected(
  { parts, docker }: House,
  onMade: () => void,
  look: (facts: unknown) => void,
): House["parts"]["sandboxes"] {
  return {
    ...parts.sandboxes,
    async create(spec, signal) {
      const sandbox = await parts.sandboxes.create(spec, signal);
      onMade();
      let looking: Promise<void> = Promise.resolve();
      return {
        ...sandbox,
        async start(command, startSignal) {
          const seq = await sandbox.start(command, startSignal);
          // After the start, so that the environment would show; not awaited, so that it costs the task nothing.
          looking = docker
            .getContainer(sandbox.id)
            .inspect({ abortSignal: AbortSignal.timeout(lookMs) })
            .then(look, () => undefined);
          return seq;
        },
        async [Symbol.asyncDispose]() {
          await looking;
          await sandbox[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** For an engine that a case has stopped. */
const lookMs = 1000;

async function hostModules({ docker }: House): Promise<HostModules> {
  const options: readonly string[] = (await docker.info()).SecurityOptions ?? [];
  const has = (name: string): boolean => options.some((one) => one.includes(`name=${name}`));
  return { hasAppArmor: has("apparmor"), hasSelinux: has("selinux") };
}

function tapStderr(onText: (text: string) => void): () => void {
  const write = process.stderr.write.bind(process.stderr);
  process.stderr.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
    onText(String(chunk));
    return write(chunk, ...rest);
  }) as typeof process.stderr.write;
  return () => {
    process.stderr.write = write;
  };
}

async function outputHash({ parts }: House, key: TaskKey): Promise<string> {
  const signal = new AbortController().signal;
  const hash = createHash("sha256");
  hash.update((await parts.store.get(key, signal))?.resultBytes ?? "no result");
  const stored = await parts.objects.list(attemptPrefix({ key, number: 1 }), signal);
  if (stored.length < 3) throw new Error(`of ${key.taskId} only ${stored.length} objects are there`);
  for (const object of stored) {
    hash.update(object.key);
    for await (const chunk of (await parts.objects.get(object.key, signal)) ?? []) hash.update(chunk);
  }
  return hash.digest("hex");
}
