import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { apiKeysFolder } from "../adapters/disk/api-keys-folder.ts";
import { engineFacts } from "../adapters/docker/engine-facts.ts";
import { type Door, openDoor } from "../adapters/http/door.ts";
import { bell } from "../loops/bell.ts";
import { keepReaping } from "../loops/keep-reaping.ts";
import { type ReapReport, reapOnce } from "../loops/reap.ts";
import { giveUpReason, type Schedule, schedule } from "../loops/schedule.ts";
import { deadline } from "../model/deadline.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import type { JsonObject } from "../model/task.ts";
import { type Check, readiness } from "../observe/health.ts";
import { type Log, openLog } from "../observe/log.ts";
import { type Metrics, metrics } from "../observe/metrics.ts";
import { resultSchema } from "../schema/result-schema.ts";
import { defaultMaxRequestBytes } from "../schema/task-parser.ts";
import { taskSchema } from "../schema/task-schema.ts";
import { retryClass } from "../tools/tool.ts";
import { type CallbackService, callbackService } from "./callback-service.ts";
import type { Config } from "./config.ts";
import { type House, openHouse, systemClock } from "./house.ts";
import { type Pulse, pulse } from "./pulse.ts";
import { reapPorts } from "./reaper.ts";
import { serverFront } from "./server-front.ts";
import { serverSocket } from "./server-socket.ts";
import type { Shutdown } from "./shutdown.ts";
import { openTransport, type TransportService, transportService } from "./transport-service.ts";

export interface ServeOptions {
  readonly version: string;
  /** One line for whoever started it. */
  readonly say: (line: string) => void;
}

/** Tasks of other doors and those whose time has come are found this late at most. */
const pollMs = 500;
/** With a lease of 10 s, a task of a dead executor elsewhere is found within 15 s of its death. */
const reapEveryMs = 4000;

/**
 * The server: reaps what is dead, then takes tasks in over HTTP, and over the transport where one is configured, and runs them, until it is told to end. Then it takes nothing new,
 * lets what runs end for as long as `drain` says, ends the rest and gives it back, and leaves nothing of ours behind.
 * @throws ExecutorError validation | policy_denied | internal, when it cannot begin; with nothing left open.
 */
export async function serve(config: Config, { version, say }: ServeOptions, shutdown: Shutdown): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const counted = metrics();
  const log = countedLog(await openLog(config.logLevel, true), counted);
  const house = stack.use(await openHouse(config, undefined, log));
  const [live, work] = [pulse(), bell()];
  const { parts } = house;
  const messages = messagesOf(config, house, stack, work.ring, counted, log);
  const callbacks = callbacksOf(config, house, counted, log);
  const scheduled = schedule(parts, {
    slots: config.maxWorkers,
    pollMs,
    bell: work,
    watch(key, event) {
      live.beat(key, event);
      messages?.watch(key, event);
      callbacks?.watch(event);
    },
  });
  const reap = await reaper(config, house, scheduled);
  const onReport = (report: ReapReport): void => {
    tellReaped(report, counted, log, say);
    if (report.requeued > 0) work.ring();
  };
  // Before anything is taken in: what a dead executor left may be in the way.
  onReport(await reap(shutdown.now));

  using stages = stagesOf(shutdown);
  const checks = checksOf(config, house, messages, stages.drain);
  const door = stack.use(await openServerDoor(config, version, house, live, work.ring, counted, log, checks));
  stack.defer(parts.liveness.onPoke(work.ring));
  counted.gauges({
    running: scheduled.underWay.count,
    slots: () => config.maxWorkers,
    droppedLogEntries: parts.logSink.dropped,
    ready: () => (stages.drain.aborted ? 0 : 1),
    outboxAgeMs: messages === null ? null : () => parts.store.outboxAgeMs(new AbortController().signal),
  });
  say(`serving  ${[door.url, serverSocket(config)].filter((place) => place !== null).join(" and ")}`);

  const reaping = keepReaping(
    { everyMs: reapEveryMs, pass: reap, onReport, onFailure: (error) => noteFailure(log, "reap.failed", error) },
    stages.drain,
  );
  const stopRelay = new AbortController();
  const carrying = messages?.run(stages.drain, stopRelay.signal).catch(stages.fail);
  const calling = callbacks?.run(stopRelay.signal).catch(stages.fail);
  await untilDrained(config, scheduled, door, { drain: stages.drain, now: shutdown.now }, say);
  await reaping;
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
  wake: () => void,
  counted: Metrics,
  log: Log,
): TransportService | null {
  const transport = openTransport(config, ({ kind, ...fields }) =>
    log.note(kind === "held" || kind === "trouble" ? "warn" : "info", `transport.${kind}`, fields as JsonObject),
  );
  if (transport === null) return null;
  stack.use(transport);
  return transportService(parts, parseTask, transport, {
    onAccepted: wake,
    onTaken: counted.delivered,
    onPublished: (rows) => {
      for (const { kind } of rows) counted.published(kind, 1);
    },
    onTrouble: (what, error) => noteFailure(log, `${what}.failed`, error),
  });
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
  const end = (): void => giveUp.abort(giveUpReason());
  if (limit.signal.aborted) end();
  else limit.signal.addEventListener("abort", end, { once: true });
  await running;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

async function reaper(config: Config, { parts }: House, { underWay }: Schedule) {
  const ports = await reapPorts(config, parts);
  return (signal: AbortSignal): Promise<ReapReport> =>
    reapOnce(
      {
        ...ports,
        isUnderWay: underWay.has,
        // A task that was never given its command has done nothing. Of the others only the safe ones may begin again, and none
        // for ever: it may be what its executors died of.
        mayRunAgain: ({ task, state, strikes }) => {
          if (strikes + 1 >= parts.policy.maxStrikes) return false;
          if (state === "LEASED" || state === "STARTING") return true;
          const tool = parts.catalog.list().find(({ name }) => name === task.tool_name);
          return tool !== undefined && retryClass(tool, task) === "safe";
        },
      },
      signal,
    );
}

function openServerDoor(
  config: Config,
  version: string,
  house: House,
  live: Pulse,
  wake: () => void,
  counted: Metrics,
  log: Log,
  checks: Readonly<Record<string, Check>>,
): Promise<Door> {
  const { listen, hosts, maxConnections } = config.http;
  return openDoor({
    front: serverFront({
      house,
      sandboxRoot: config.sandboxRoot,
      pulse: live,
      wake,
      maxFileBytes: config.maxFileBytes,
    }),
    keys: apiKeysFolder(join(config.dataDir, "keys")),
    metrics: counted,
    readiness: readiness(checks, systemClock.monotonicMs),
    schemas: { task: taskSchema(config.limitRules, config.hostCpus), result: resultSchema },
    version,
    maxBodyBytes: defaultMaxRequestBytes,
    now: systemClock.now,
    listen: listen === "off" ? null : addressOf(listen),
    socketPath: serverSocket(config),
    hosts,
    maxConnections,
    onFailure: (error) => noteFailure(log, "http.failed", error),
  });
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

function tellReaped(report: ReapReport, counted: Metrics, log: Log, say: (line: string) => void): void {
  const { containers, networks, volumes, directories, sockets } = report.removed;
  counted.reaped("container", containers);
  counted.reaped("network", networks);
  counted.reaped("volume", volumes);
  counted.reaped("folder", directories);
  counted.reaped("socket", sockets);
  const { ended, requeued } = report;
  if (containers + networks + volumes + directories + sockets + ended + requeued === 0) return;
  log.note("warn", "reaped", { ...report.removed, ended, requeued });
  say(`reaped   ${containers} containers, ${directories} folders; ${requeued} tasks run again, ${ended} ended`);
}
