import { join } from "node:path";
import type Dockerode from "dockerode";
import { attemptJournals } from "../adapters/disk/attempt-journals.ts";
import { diskObjectStore } from "../adapters/disk/disk-object-store.ts";
import { fileLogSink } from "../adapters/disk/file-log-sink.ts";
import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { ownImagesFolder } from "../adapters/disk/own-images-folder.ts";
import { diskScratch, ownerFile } from "../adapters/disk/scratch.ts";
import { requireSecretsFolder, secretsFolder } from "../adapters/disk/secrets-folder.ts";
import { spareFolders } from "../adapters/disk/spare-folders.ts";
import { successionName } from "../adapters/disk/succession-file.ts";
import { dockerSandboxes } from "../adapters/docker/docker-sandboxes.ts";
import { newDockerode } from "../adapters/docker/dockerode.ts";
import { imageMemory } from "../adapters/docker/image-memory.ts";
import { addedImages, eitherImages, localImages } from "../adapters/docker/images.ts";
import { sqliteTaskStore } from "../adapters/sqlite/sqlite-task-store.ts";
import { watchedSecrets } from "../adapters/wrap/watched-secrets.ts";
import { auditTrail } from "../executor/audit-trail.ts";
import type { Parts } from "../executor/parts.ts";
import { fairSlots } from "../executor/slots.ts";
import type { ExecutorError } from "../model/failure.ts";
import { ownerText } from "../model/owner.ts";
import { type Log, openLog } from "../observe/log.ts";
import { openTracing, type Tracing } from "../observe/tracing.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogSink } from "../ports/log-sink.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { OwnImages } from "../ports/own-images.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";
import type { TaskStore } from "../ports/task-store.ts";
import { defaultMaxRequestBytes } from "../schema/request-caps.ts";
import { type ParseTask, taskParser } from "../schema/task-parser.ts";
import { environmentSecrets } from "../secrets/environment-secrets.ts";
import type { Catalog } from "../tools/catalog.ts";
import { knowledgeBaseName } from "../tools/knowledge_base/knowledge-base.ts";
import type { Config } from "./config.ts";
import { openCatalog } from "./custom-tools.ts";
import { openEgress } from "./egress-config.ts";
import { knowledgeSearch, openKnowledge } from "./knowledge.ts";
import { secretsDirName } from "./secrets-config.ts";
import { openVault } from "./vault-config.ts";

/** Everything one process works with, composed from the configuration. */
export interface House extends AsyncDisposable {
  readonly parts: Parts;
  readonly docker: Dockerode;
  /** @throws ExecutorError validation | policy_denied */
  readonly parseTask: ParseTask;
  /** Keeps so many attempts' folders made ahead, for whoever runs one task after the other. */
  keepSpareFolders(count: number): void;
}

/** What is known without an engine: tasks, results, objects. */
export interface Archive extends AsyncDisposable {
  readonly store: TaskStore;
  readonly objects: ObjectStore;
}

/** Images that come with the program and that a task may name; beside them it may name those that were added. */
export const builtInImages: readonly string[] = ["shell", "python", "node"];

/** Tries of a task whose executor dies at it, or whose sandbox cannot be made. */
export const maxStrikes = 3;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/**
 * @param putPatienceMs for how long an object goes on being brought to a bucket whose server is away; null: some seconds.
 * @throws ExecutorError internal, when the data folder or the database cannot be used.
 */
export async function openArchive(config: Config, putPatienceMs: number | null = null): Promise<Archive> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openTaskStore(config));
  const objects = stack.use(await openObjectStore(config, putPatienceMs));
  const held = stack.move();
  return { store, objects, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** A file of the data folder, or the database that stands in its place; its client is loaded only then. */
async function openTaskStore({ dataDir, database, queue }: Config): Promise<TaskStore> {
  if (database === null) return sqliteTaskStore(join(dataDir, "tasks.db"), systemClock, queue);
  const { defaultCallBounds, postgresTaskStore } = await import("../adapters/postgres/postgres-task-store.ts");
  return await postgresTaskStore(database, new AbortController().signal, defaultCallBounds, queue);
}

/** A folder of the data folder, or the bucket that stands in its place; its client is loaded only then. */
async function openObjectStore({ dataDir, s3 }: Config, putPatienceMs: number | null): Promise<ObjectStore> {
  if (s3 === null) return diskObjectStore(join(dataDir, "objects"));
  const { defaultS3Bounds, s3ObjectStore } = await import("../adapters/s3/s3-object-store.ts");
  return s3ObjectStore(s3, { ...defaultS3Bounds, ...(putPatienceMs !== null && { putRetryMs: putPatienceMs }) });
}

/** Files of the data folder, or the aggregator that stands in their place. */
async function openLogSink({ dataDir, loki }: Config): Promise<LogSink> {
  if (loki === null) return fileLogSink(join(dataDir, "logs"));
  const { lokiLogSink } = await import("../adapters/loki/loki-log-sink.ts");
  return lokiLogSink(loki);
}

/** In the order in which they are asked. @throws ExecutorError validation, when the folder of secrets is not this user's alone. */
async function secretProviders({ secrets }: Config, log: Log): Promise<readonly SecretProvider[]> {
  const { variables, folder, vault } = secrets;
  if (folder !== "") await requireSecretsFolder(folder, secretsDirName);
  return [
    environmentSecrets(variables),
    ...(folder === "" ? [] : [secretsFolder(folder, secretsDirName)]),
    ...(vault === null ? [] : [watchedSecrets(await openVault(vault), (why) => noteSecrets(log, why))]),
  ];
}

function noteSecrets(log: Log, why: ExecutorError | null): void {
  if (why === null) log.note("warn", "secrets.back", {});
  else {
    const fields = { message: why.message, hint: why.hint };
    if (why.isBarred) log.note("error", "secrets.barred", fields);
    else log.note("warn", "secrets.away", fields);
  }
}

const tracingOf = ({ otlp }: Config, instance: string): Promise<Tracing> =>
  openTracing(otlp === null ? null : { ...otlp, instance });

/** The images that were added to this installation; nothing is read yet. */
export const ownImagesOf = (config: Config): OwnImages => ownImagesFolder(join(config.dataDir, "images"));

/** The engine at the configured address; nothing is asked of it yet. */
export function dockerAt(dockerHost: string): Dockerode {
  const socket = /^unix:\/\/(.+)$/.exec(dockerHost);
  if (socket?.[1]) return newDockerode({ socketPath: socket[1] });
  const { hostname, port } = new URL(dockerHost);
  return newDockerode({ protocol: "http", host: hostname, port: Number(port) });
}

/**
 * @param tools instead of the built-in and the configured ones.
 * @param log instead of the one that the configuration asks for.
 * @param putPatienceMs as for {@link openArchive}.
 * @throws ExecutorError validation | internal, with nothing left open.
 */
export async function openHouse(
  config: Config,
  tools?: Catalog,
  log?: Log,
  putPatienceMs: number | null = null,
): Promise<House> {
  await using stack = new AsyncDisposableStack();
  const archive = stack.use(await openArchive(config, putPatienceMs));
  const liveness = stack.use(await hostLiveness(config.runtimeDir));
  const tracing = stack.use(await tracingOf(config, ownerText(liveness.self)));
  const spares = stack.use(
    spareFolders(config.sandboxRoot, {
      ...{ owner: ownerText(liveness.self), ownerFile, emptyFiles: [successionName] },
    }),
  );
  const scratch = await diskScratch(config.sandboxRoot, spares);
  const logSink = stack.use(await openLogSink(config));
  const knowledge = stack.use(knowledgeSearch(() => openKnowledge(config)));
  const docker = dockerAt(config.dockerHost);
  const memory = stack.use(imageMemory(docker));
  const catalog = tools ?? (await openCatalog(config));
  const openedLog = log ?? (await openLog(config.logLevel));
  const lost = (count: number): void => openedLog.note("error", "audit.lost", { count });
  const audit = stack.use(auditTrail(archive.store, lost));
  const parts: Parts = {
    ...archive,
    catalog,
    liveness,
    logSink,
    secrets: await secretProviders(config, openedLog),
    clock: systemClock,
    log: openedLog,
    egress: openEgress(config.egress, audit.record),
    tracing,
    services: new Map([[knowledgeBaseName, knowledge.search]]),
    slots: fairSlots(config.maxWorkers),
    images: eitherImages(
      localImages(docker, builtInImages, undefined, config.engineDeadlines.inspectMs, memory),
      addedImages(docker, ownImagesOf(config), memory),
    ),
    sandboxes: stack.use(
      dockerSandboxes(docker, {
        owner: liveness.self,
        architecture: process.arch,
        deadlines: config.engineDeadlines,
        cpuset: config.sandboxCpus,
        direct: config.sandboxDirect,
      }),
    ),
    ...attemptJournals(scratch),
    policy: {
      runtimes: config.runtimes,
      graceMs: config.graceMs,
      leaseMs: 10_000,
      maxArtifactEntries: 10_000,
      maxArtifactDepth: 64,
      secretsInArtifacts: config.secrets.inArtifacts,
      inlineBytes: 64 * 1024,
      maxStrikes,
    },
  };
  const parseTask = taskParser({
    limitRules: config.limitRules,
    hostCpus: config.hostCpus,
    maxBytes: defaultMaxRequestBytes,
    toolLimits: catalog.limitsOf,
    callbackHosts: config.callbacks.hosts,
    now: systemClock.now,
  });
  const held = stack.move();
  return { parts, docker, parseTask, keepSpareFolders: spares.keep, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
