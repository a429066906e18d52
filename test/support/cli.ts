import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ownerLabel, readOwner } from "../../src/adapters/docker/labels.ts";
import type { Result } from "../../src/model/result.ts";
import { testDocker } from "./bare-container.ts";
import { until } from "./until.ts";

export const checkout = resolve(import.meta.dirname, "../..");

/** How a whole `toolx` process ended. */
export interface CliEnd {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
  readonly tookMs: number;
}

/** A `toolx` process that runs. */
export interface CliProcess {
  readonly child: ChildProcess;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  /** Bytes for its standard input, which stays open. */
  type(text: string | Buffer): void;
  ended(): Promise<CliEnd>;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Given and then closed; without it standard input is empty. */
  readonly stdin?: Buffer;
  /** A program and its arguments that ends in `exec "$@"`. */
  readonly through?: readonly string[];
}

/**
 * `toolx` as a user has it: whole processes with data, scratch and runtime folders of their own, which are gone after dispose.
 * Dispose kills what still runs and removes what it left, so that one test's failure is not the next one's.
 */
export interface Cli extends AsyncDisposable {
  readonly dataDir: string;
  readonly scratchDir: string;
  readonly runtimeDir: string;
  /** Where its processes start, and a test may put files. */
  readonly workDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** `openStdin`: for {@link CliProcess.type}. `streamStdout`: left for the test to read, and not kept. */
  start(
    args: readonly string[],
    options?: CliOptions & { readonly openStdin?: boolean; readonly streamStdout?: boolean },
  ): CliProcess;
  run(args: readonly string[], options?: CliOptions): Promise<CliEnd>;
  /** The envelope that `-o json` printed: `args` with `-o json` before a `--`. */
  result(args: readonly string[], options?: CliOptions): Promise<Result>;
  /** What its processes left: containers, networks and volumes by their owners, scratch folders, sockets. Empty: nothing. */
  leftovers(): Promise<readonly string[]>;
}

/**
 * @param ownHost its processes take themselves for those of another host than everybody else's, where we may arrange that (root): their
 * containers, whose makers are killed on purpose, are then none of the business of other reapers on this engine.
 */
export async function openCli({ ownHost = false }: { readonly ownHost?: boolean } = {}): Promise<Cli> {
  const base = await mkdtemp(join(tmpdir(), "toolx-e2e-"));
  const [dataDir, scratchDir, runtimeDir] = [join(base, "data"), join(base, "scratch"), join(base, "run")];
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    TOOL_EXECUTOR_DATA: dataDir,
    SANDBOX_ROOT: scratchDir,
    TOOL_EXECUTOR_RUNTIME_DIR: runtimeDir,
    // Sandboxes that no test asked for would be in the way of those that count and time them: test/e2e/readiness.test.ts and test/e2e/warm-pool.test.ts have them.
    TOOL_EXECUTOR_PROBE_MINUTES: "0",
    TOOL_EXECUTOR_WARM_POOL_MAX: "0",
  };
  const pids = new Set<number>();
  const running = new Set<ChildProcess>();

  const seenAs = ownHost && process.geteuid?.() === 0 ? await otherMachine(base) : [];

  const start: Cli["start"] = (args, options = {}) => {
    const startedAt = performance.now();
    const [program = "", ...rest] = [...seenAs, ...(options.through ?? []), join(checkout, "bin/toolx"), ...args];
    const child = spawn(program, rest, { cwd: base, env: { ...env, ...options.env } });
    if (child.pid !== undefined) pids.add(child.pid);
    running.add(child);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    if (options.streamStdout !== true) child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A process that ends before it reads is what some tests are about.
    child.stdin.on("error", () => undefined);
    if (options.openStdin !== true) child.stdin.end(options.stdin);
    const ended = once(child, "close").then(([code]): CliEnd => {
      running.delete(child);
      const stdoutBytes = Buffer.concat(stdout);
      const tookMs = performance.now() - startedAt;
      return { code, stdout: stdoutBytes.toString(), stdoutBytes, stderr: Buffer.concat(stderr).toString(), tookMs };
    });
    return {
      child,
      stdout: () => Buffer.concat(stdout).toString(),
      stderr: () => Buffer.concat(stderr).toString(),
      type: (text) => void child.stdin.write(text),
      ended: () => ended,
    };
  };
  const run: Cli["run"] = (args, options) => start(args, options).ended();

  return {
    dataDir,
    scratchDir,
    runtimeDir,
    workDir: base,
    env,
    start,
    run,
    async result(args, options) {
      const dashes = args.indexOf("--");
      const flags = dashes < 0 ? [...args, "-o", "json"] : args.toSpliced(dashes, 0, "-o", "json");
      const { stdout, stderr } = await run(flags, options);
      if (stdout === "") throw new Error(`toolx ${flags.join(" ")} printed nothing; on stderr: ${stderr}`);
      return JSON.parse(stdout) as Result;
    },
    async leftovers() {
      const [objects, folders, sockets] = await Promise.all([ownedBy(pids), entries(scratchDir), entries(runtimeDir)]);
      return [...objects.map(({ name }) => name), ...folders, ...sockets];
    },
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill("SIGKILL");
      await Promise.all([...running].map((child) => once(child, "close")));
      for (const { remove } of await ownedBy(pids)) await remove().catch(() => undefined);
      await rm(base, { recursive: true, force: true });
    },
  };
}

/** A mount namespace with another machine's id; processes are the same ones as outside. */
async function otherMachine(folder: string): Promise<readonly string[]> {
  const id = join(folder, "machine-id");
  await writeFile(id, randomBytes(16).toString("hex"));
  return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc/machine-id && exec "$@"', id];
}

interface OwnedThing {
  readonly name: string;
  remove(): Promise<unknown>;
}

/** What these processes made on the engine, whoever else uses it. */
async function ownedBy(pids: ReadonlySet<number>): Promise<readonly OwnedThing[]> {
  const docker = testDocker();
  const filters = { label: [ownerLabel] };
  const [containers, networks, { Volumes: volumes }] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listNetworks({ filters }),
    docker.listVolumes({ filters }),
  ]);
  const isOurs = (labels: Readonly<Record<string, string>> | undefined): boolean =>
    pids.has(readOwner(labels ?? {})?.pid ?? -1);
  return [
    ...containers
      .filter(({ Labels }) => isOurs(Labels))
      .map(({ Id }) => ({
        name: `container ${Id.slice(0, 12)}`,
        remove: () => docker.getContainer(Id).remove({ force: true, v: true }),
      })),
    ...networks
      .filter(({ Labels }) => isOurs(Labels))
      .map(({ Id, Name }) => ({ name: `network ${Name}`, remove: () => docker.getNetwork(Id).remove() })),
    ...(volumes ?? [])
      .filter(({ Labels }) => isOurs(Labels))
      .map(({ Name }) => ({ name: `volume ${Name}`, remove: () => docker.getVolume(Name).remove() })),
  ];
}

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch {
    // Never made: nothing is in it.
    return [];
  }
}

/** Waits until a process has written `text` to its stdout. */
export async function printed(toolx: CliProcess, text: string): Promise<void> {
  await until(`${JSON.stringify(text)} on stdout`, () => toolx.stdout().includes(text), 30_000);
}
