import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";
import { apiKeysFolder } from "../adapters/disk/api-keys-folder.ts";
import { codeOf, privateFolder } from "../adapters/disk/private-folder.ts";
import { engineFacts } from "../adapters/docker/engine-facts.ts";
import { type Door, openDoor } from "../adapters/http/door.ts";
import type { AtOnce } from "../executor/take-in.ts";
import { HandedOver } from "../executor/worker-lost.ts";
import { atOnce as beginsAtOnce } from "../loops/at-once.ts";
import { bell } from "../loops/bell.ts";
import { keepPassing } from "../loops/keep-passing.ts";
import type { ReapReport } from "../loops/reap.ts";
import { giveUpReason, type Schedule, schedule } from "../loops/schedule.ts";
import { deadline } from "../model/deadline.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import type { JsonObject } from "../model/task.ts";
import { type Check, type Readiness, readiness } from "../observe/health.ts";
import { type Log, openLog } from "../observe/log.ts";
import { type Metrics, metrics } from "../observe/metrics.ts";
import type { ServerFront } from "../ports/front.ts";
import { defaultMaxRequestBytes } from "../schema/request-caps.ts";
import { resultSchema } from "../schema/result-schema.ts";
import { taskSchema } from "../schema/task-schema.ts";
import { openBuffer } from "./buffer.ts";
import { type CallbackService, callbackService } from "./callback-service.ts";
import type { Config } from "./config.ts";
import { diskFree } from "./disk-free.ts";
import { type House, openHouse, systemClock } from "./house.ts";
import { pulse } from "./pulse.ts";
import { serverFront } from "./server-front.ts";
import { serverReaper, tellReaped } from "./server-reaper.ts";
import { serverSocket } from "./server-socket.ts";
import type { Shutdown } from "./shutdown.ts";
import { sweeping } from "./sweeping.ts";
import { openTransport, type TransportService, transportService } from "./transport-service.ts";
import { wallWatch } from "./wall-watch.ts";
import { serverPool } from "./warm.ts";

export interface ServeOptions {
  readonly version: string;
  /** One line for whoever started it. */
  readonly say: (line: string) => void;
  /** What still runs when the time to drain is over goes on for the next server of this host. */
  readonly handover: boolean;
}

/** Each is a folder with two small files. */
const spareFolderCount = 4;
/** Tasks of other doors and those whose time has come are found this late at most. */
const pollMs = 500;
/** With a lease of 10 s, a task of a dead executor elsewhere is found within 15 s of its death. */
const reapEveryMs = 4000;

/**
 * The server: reaps what is dead, then takes tasks in over HTTP, and over the transport where one is configured, and runs them, until it is
 * told to end. Then it takes nothing new, lets what runs end for as long as `drain` says, ends the rest and gives it back, and leaves nothing of ours behind; or leaves the rest to
 * the next server of this host.
 * @throws ExecutorError validation | policy_denied | internal, when it cannot begin; with nothing left open.
 */
export async function serve(
  config: Config,
  { version, say, handover }: ServeOptions,
  shutdown: Shutdown,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const counted = metrics();
  const log = countedLog(await openLog(config.logLevel, true), counted);
  // With everything else in services nobody has made it yet, and the local socket stands in it.
  privateFolder(config.dataDir, "TOOL_EXECUTOR_DATA");
  const opened = stack.use(await openHouse(config, undefined, log, config.s3PatienceMs));
  const [live, work] = [pulse(), bell()];
  const buffer = await openBuffer(config, opened.parts, { log, counted, onTakenIn: work.ring });
  if (buffer !== null) stack.use(buffer);
  const pool = serverPool(config, opened, counted, log);
  if (pool !== null) stack.use(pool);
  const { store, sandboxes } = opened.parts;
  const house: House = {
    ...opened,
    parts: { ...opened.parts, store: buffer?.store ?? store, sandboxes: pool ?? sandboxes },
  };
  const { parts } = house;
  // What begins tasks needs the loop that runs them, which tells the messages of them.
  let begins: AtOnce | null = null;
  const atOnce: AtOnce = { prepared: async (task, allowed) => (await begins?.prepared(task, allowed)) ?? null };
  const messages = messagesOf(config, house, stack, atOnce, work.ring, counted, log);
  const callbacks = callbacksOf(config, house, counted, log);
  const scheduled = stack.use(
    schedule(parts, {
      slots: config.maxWorkers,
      pollMs,
      bell: work,
      watch(key, event) {
        live.beat(key, event);
        callbacks?.watch(event);
        return messages?.watch(key, event);
      },
    }),
  );
  if (pool !== null) {
    begins = beginsAtOnce(parts, scheduled, pool);
    opened.keepSpareFolders(spareFolderCount);
  }
  const reap = await serverReaper(config, house, scheduled);
  const onReport = (report: ReapReport): void => {
    tellReaped(report, counted, log, say);
    if (report.requeued > 0) work.ring();
  };
  // Before tasks of the dead are judged: the end of one may be among what waits.
  await buffer?.drain();
  // Before anything is taken in: what a dead executor left may be in the way.
  onReport(await reap(shutdown.now));

  using stages = stagesOf(shutdown);
  const checks = checksOf(config, house, messages, stages.drain);
  // Its sandboxes are its own: what it asks for is no demand.
  const walls = wallWatch(config, opened, log);
  const ready = readiness(checks, walls.fallen, systemClock.monotonicMs);
  const waiting = buffer?.waiting ?? null;
  const { sandboxRoot, maxFileBytes } = config;
  const isKept = buffer?.isKept ?? (() => false);
  const front = serverFront({
    ...{ house, sandboxRoot, pulse: live, atOnce, wake: work.ring, maxFileBytes, waiting, isKept },
  });
  const door = stack.use(await openServerDoor(config, version, front, counted, log, ready));
  stack.defer(parts.liveness.onPoke(work.ring));
  counted.gauges({
    running: scheduled.underWay.count,
    slots: () => config.maxWorkers,
    droppedLogEntries: parts.logSink.dropped,
    droppedSpans: parts.tracing.dropped,
    missing: async () => (await ready()).missing.map(({ name }) => name),
    diskFree: () => diskFree({ data: config.dataDir, scratch: config.sandboxRoot }),
    outboxAgeMs: messages === null ? null : parts.store.outboxAgeMs,
    lag: messages === null ? null : messages.lag,
    warm: pool?.counts ?? null,
  });
  // After what the dead left is gone: it may have taken the room.
  pool?.begin();
  say(`serving  ${[door.url, serverSocket(config)].filter((place) => place !== null).join(" and ")}`);

  const reaping = keepPassing(
    { everyMs: reapEveryMs, pass: reap, onReport, onFailure: (error) => noteFailure(log, "reap.failed", error) },
    stages.drain,
  );
  const inBackground = [sweeping(config, parts, counted, log, stages.drain), walls.run(stages.drain)];
  if (pool !== null) inBackground.push(aborted(stages.drain).then(pool.close));
  const [stopBuffer, stopRelay] = [new AbortController(), new AbortController()];
  const draining = buffer?.run(stopBuffer.signal);
  const carrying = messages?.run(stages.drain, stopRelay.signal).catch(stages.fail);
  const calling = callbacks?.run(stopRelay.signal).catch(stages.fail);
  await untilDrained(config, handover, scheduled, door, { drain: stages.drain, now: shutdown.now }, say);
  await Promise.all([reaping, ...inBackground]);
  stopBuffer.abort();
  await draining;
  // Last: what ended in the drain is sent, too.
  stopRelay.abort();
  await Promise.all([carrying, calling]);
  stages.throwIfFailed();
}

/** Told to end from outside, or by what cannot go on: either way it drains. */
function stagesOf(shutdown: Shutdown) {
  const drain = new AbortController();
  const failures: unknown[] = [];
  const onDrain = (): void => drain.abort();
  if (shutdown.drain.aborted) onDrain();
  else shutdown.drain.addEventListener("abort", onDrain, { once: true });
  return {
    drain: drain.signal,
    fail(error: unknown): void {
      failures.push(error);
      drain.abort();
    },
    throwIfFailed(): void {
      if (failures.length > 0) throw failures[0];
    },
    [Symbol.dispose]: () => shutdown.drain.removeEventListener("abort", onDrain),
  };
}

/** Calls in and results out over the transport that is configured; null without one. */
function messagesOf(
  config: Config,
  { parts, parseTask }: House,
  stack: AsyncDisposableStack,
  atOnce: AtOnce,
  wake: () => void,
  counted: Metrics,
  log: Log,
): TransportService | null {
  const transport = openTransport(config, ({ kind, ...fields }) =>
    log.note(kind === "held" || kind === "trouble" ? "warn" : "info", `transport.${kind}`, fields as JsonObject),
  );
  if (transport === null) return null;
  stack.use(transport);
  return transportService(
    parts,
    parseTask,
    transport,
    {
      onWaiting: wake,
      onTaken: counted.delivered,
      onPublished: (rows) => {
        for (const { kind } of rows) counted.published(kind, 1);
      },
      onTrouble: (what, error) => noteFailure(log, `${what}.failed`, error),
    },
    atOnce,
  );
}

/** Results out over HTTP, to who asked for it; null where nobody may be called. */
function callbacksOf(config: Config, { parts }: House, counted: Metrics, log: Log): CallbackService | null {
  return callbackService(
    parts,
    config.callbacks,
    ({ key, tries }, outcome, error) => {
      counted.calledBack(outcome);
      if (outcome === "delivered") return;
      const message = error instanceof Error ? error.message : String(error);
      const place = { tenant_id: key.tenantId, task_id: key.taskId };
      log.note("warn", `callback.${outcome}`, { ...place, tries, reason: reasonOf(error), message });
    },
    (what, error) => noteFailure(log, `${what}.failed`, error),
  );
}

/** Runs until told to end, and then for as long as it may. */
async function untilDrained(
  config: Config,
  handover: boolean,
  scheduled: Schedule,
  door: Door,
  shutdown: Pick<Shutdown, "drain" | "now">,
  say: (line: string) => void,
): Promise<void> {
  const giveUp = new AbortController();
  const running = scheduled.run(shutdown.drain, giveUp.signal);
  await aborted(shutdown.drain);
  door.refuseTasks();
  const left = scheduled.underWay.count();
  if (left > 0) say(`draining ${left} task${left === 1 ? "" : "s"}, for ${config.drainMs / 1000} s at most`);
  using limit = deadline(shutdown.now, config.drainMs, new Error("the time to drain is over"));
  const end = (): void => giveUp.abort(handover ? new HandedOver() : giveUpReason());
  if (limit.signal.aborted) end();
  else limit.signal.addEventListener("abort", end, { once: true });
  await running;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

async function openServerDoor(
  config: Config,
  version: string,
  front: ServerFront,
  counted: Metrics,
  log: Log,
  ready: () => Promise<Readiness>,
): Promise<Door> {
  const { listen, hosts, maxConnections, tls } = config.http;
  return await openDoor({
    front,
    keys: apiKeysFolder(join(config.dataDir, "keys")),
    metrics: counted,
    readiness: ready,
    schemas: { task: taskSchema(config.limitRules, config.hostCpus), result: resultSchema },
    version,
    maxBodyBytes: defaultMaxRequestBytes,
    now: systemClock.now,
    listen: listen === "off" ? null : addressOf(listen),
    socketPath: serverSocket(config),
    hosts,
    maxConnections,
    tls: tls && {
      cert: await readGiven("TOOL_EXECUTOR_HTTP_TLS_CERT", tls.certPath),
      key: await readGiven("TOOL_EXECUTOR_HTTP_TLS_KEY", tls.keyPath),
    },
    onFailure: (error) => noteFailure(log, "http.failed", error),
  });
}

async function readGiven(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ExecutorError("validation", `${name}: ${path} cannot be read (${codeOf(cause)})`, { cause });
  }
}

function addressOf(listen: string): { readonly host: string; readonly port: number } {
  const colon = listen.lastIndexOf(":");
  return { host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) };
}

/** What a task needs to run. */
function checksOf(
  config: Config,
  { parts, docker }: House,
  messages: TransportService | null,
  drain: AbortSignal,
): Readonly<Record<string, Check>> {
  const kafka = async (): Promise<void> => {
    const problem = messages?.problem() ?? null;
    if (problem !== null) throw new Error(problem);
  };
  return {
    ...(messages !== null && { kafka }),
    running: async () => {
      if (drain.aborted) throw new Error("the server is about to end");
    },
    store: async (signal) => void (await parts.store.get({ tenantId: "readyz", taskId: "readyz" }, signal)),
    objects: async (signal) => void (await parts.objects.list("readyz", signal)),
    engine: async (signal) => void (await engineFacts(docker, signal)),
    "image shell": async (signal) => void (await parts.images.resolve("shell", signal)),
    "scratch folder": () => access(config.sandboxRoot, constants.W_OK),
  };
}

/** The same log; what it is told is counted too. */
function countedLog(log: Log, counted: Metrics): Log {
  return {
    attemptFinished(attempt, result) {
      counted.taskFinished(result);
      log.attemptFinished(attempt, result);
    },
    attemptReleased(attempt, task, reason) {
      counted.attemptReleased(reason);
      log.attemptReleased(attempt, task, reason);
    },
    note: log.note,
  };
}

function noteFailure(log: Log, event: string, error: unknown): void {
  const hint = error instanceof ExecutorError ? error.hint : null;
  const message = error instanceof Error ? error.message : String(error);
  log.note("error", event, { reason: reasonOf(error), message, hint });
}
