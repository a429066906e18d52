import { join } from "node:path";
import Dockerode from "dockerode";
import { diskObjectStore } from "../adapters/disk/disk-object-store.ts";
import { fileJournal } from "../adapters/disk/file-journal.ts";
import { fileLogSink } from "../adapters/disk/file-log-sink.ts";
import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import { dockerSandboxes } from "../adapters/docker/docker-sandboxes.ts";
import { localImages } from "../adapters/docker/images.ts";
import { sqliteTaskStore } from "../adapters/sqlite/sqlite-task-store.ts";
import type { Parts } from "../executor/parts.ts";
import { fairSlots } from "../executor/slots.ts";
import type { Task } from "../model/task.ts";
import { openLog } from "../observe/log.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { TaskStore } from "../ports/task-store.ts";
import { defaultMaxRequestBytes, taskParser } from "../schema/task-parser.ts";
import { builtInTools, toolCatalog } from "../tools/catalog.ts";
import type { Config } from "./config.ts";

/** Everything one process works with, composed from the configuration. */
export interface House extends AsyncDisposable {
  readonly parts: Parts;
  readonly docker: Dockerode;
  /** @throws ExecutorError validation | policy_denied */
  readonly parseTask: (body: unknown) => Task;
}

/** What is known without an engine: tasks, results, objects. */
export interface Archive extends AsyncDisposable {
  readonly store: TaskStore;
  readonly objects: ObjectStore;
}

/** Images a task may name: those that come with the program. */
const allowedImages: readonly string[] = ["shell", "python", "node"];

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** @throws ExecutorError internal, when the data folder cannot be used. */
export async function openArchive(config: Config): Promise<Archive> {
  const store = sqliteTaskStore(join(config.dataDir, "tasks.db"), systemClock);
  const objects = diskObjectStore(join(config.dataDir, "objects"));
  return {
    store,
    objects,
    async [Symbol.asyncDispose]() {
      await objects[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** The engine at the configured address; nothing is asked of it yet. */
export function dockerAt(dockerHost: string): Dockerode {
  const socket = /^unix:\/\/(.+)$/.exec(dockerHost);
  if (socket?.[1]) return new Dockerode({ socketPath: socket[1] });
  const { hostname, port } = new URL(dockerHost);
  return new Dockerode({ protocol: "http", host: hostname, port: Number(port) });
}

/** @throws ExecutorError validation | internal, with nothing left open. */
export async function openHouse(config: Config): Promise<House> {
  await using stack = new AsyncDisposableStack();
  const archive = stack.use(await openArchive(config));
  const liveness = stack.use(await hostLiveness(config.runtimeDir));
  const scratch = await diskScratch(config.sandboxRoot);
  const logSink = stack.use(fileLogSink(join(config.dataDir, "logs")));
  const docker = dockerAt(config.dockerHost);
  const catalog = toolCatalog(builtInTools());
  const limitsByTool = new Map(catalog.list().map(({ name, limits }) => [name, limits]));
  const parts: Parts = {
    ...archive,
    catalog,
    liveness,
    logSink,
    clock: systemClock,
    log: await openLog(config.logLevel),
    slots: fairSlots(config.maxWorkers),
    images: localImages(docker, allowedImages, undefined, config.engineDeadlines.inspectMs),
    sandboxes: stack.use(
      dockerSandboxes(docker, {
        owner: liveness.self,
        architecture: process.arch,
        deadlines: config.engineDeadlines,
      }),
    ),
    async openJournal(attempt, capBytes) {
      await using made = new AsyncDisposableStack();
      const folder = await scratch.make(attempt);
      made.defer(() => scratch.remove(folder, new AbortController().signal));
      const journal = made.use(await fileJournal(join(folder, "journal"), capBytes));
      const held = made.move();
      return { ...journal, [Symbol.asyncDispose]: () => held.disposeAsync() };
    },
    policy: {
      runtimes: config.runtimes,
      graceMs: config.graceMs,
      leaseMs: 10_000,
      maxArtifactEntries: 10_000,
      maxArtifactDepth: 64,
      inlineBytes: 64 * 1024,
      maxStrikes: 3,
    },
  };
  const parseTask = taskParser({
    limitRules: config.limitRules,
    hostCpus: config.hostCpus,
    maxBytes: defaultMaxRequestBytes,
    toolLimits: (name) => limitsByTool.get(name) ?? {},
    now: systemClock.now,
  });
  const held = stack.move();
  return { parts, docker, parseTask, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
