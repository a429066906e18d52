import { join } from "node:path";
import { diskSpool } from "../adapters/disk/disk-spool.ts";
import { spooledTaskStore } from "../adapters/wrap/spooled-task-store.ts";
import type { Parts } from "../executor/parts.ts";
import { drainSpool } from "../loops/drain-spool.ts";
import { keepDraining } from "../loops/keep-draining.ts";
import type { Attempt } from "../model/attempt.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import { type SpoolEntry, spooledKey } from "../model/spool-entry.ts";
import type { TaskKey } from "../model/task.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Spool, Waiting } from "../ports/spool.ts";
import type { TaskStore } from "../ports/task-store.ts";
import type { Config } from "./config.ts";
import { systemClock } from "./house.ts";

/** A spool, and what it is called in metrics and messages. */
export interface Place {
  readonly name: "redis" | "disk";
  readonly spool: Spool;
}

/**
 * The places where writes wait that the database cannot take; none without a database. Redis first: other machines can reach it.
 * @throws ExecutorError validation, for a Redis that may lose what it is given, or a folder that is not ours.
 */
export async function openPlaces({
  dataDir,
  database,
  buffer,
}: Config): Promise<AsyncDisposable & { places: readonly Place[] }> {
  await using stack = new AsyncDisposableStack();
  const places: Place[] = [];
  const options = { maxIntakeBytes: buffer.maxBytes, now: systemClock.now };
  if (buffer.redis !== null) {
    const { redisSpool } = await import("../adapters/redis/redis-spool.ts");
    places.push({ name: "redis", spool: stack.use(await redisSpool(buffer.redis, options)) });
  }
  if (database !== null)
    places.push({ name: "disk", spool: stack.use(await diskSpool(join(dataDir, "spool"), options)) });
  const held = stack.move();
  return { places, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** A server's store in front of which writes wait, and what brings them there. */
export interface ServerBuffer extends AsyncDisposable {
  readonly store: TaskStore;
  /** What waits of a task, wherever that is; null also where no place can be asked. */
  waiting(key: TaskKey, signal: AbortSignal): Promise<Waiting | null>;
  /** Whether the attempt's end waits for the store. */
  isKept(attempt: Pick<Attempt, "key" | "number">): boolean;
  /** Once, now. What cannot be drained is told in the log. */
  drain(): Promise<void>;
  /** Again and again until `stop` aborts, and once more then. */
  run(stop: AbortSignal): Promise<void>;
}

export interface BufferWatch {
  readonly log: Log;
  readonly counted: Metrics;
  /** A call that waited may be leased now. */
  readonly onTakenIn: () => void;
}

const everyMs = 1000;
/** On top of a lease: a renewal every 2 s, of which the one under way may still fail. */
const slackMs = 3000;

/** Null where there is no database: a file on this machine is not away. @throws as {@link openPlaces}. */
export async function openBuffer(
  config: Config,
  { store: inner, clock, policy }: Pick<Parts, "store" | "clock" | "policy">,
  { log, counted, onTakenIn }: BufferWatch,
): Promise<ServerBuffer | null> {
  if (config.database === null) return null;
  const opened = await openPlaces(config);
  const { places } = opened;
  const troubles = toldOnce(log);
  const spooled = spooledTaskStore(inner, {
    // Of this machine's disk nobody else could bring them to the database.
    intakes: places.find(({ name }) => name === "redis")?.spool ?? null,
    ends: places.map(({ spool }) => spool),
    clock,
    settleMs: policy.leaseMs + slackMs,
    onKept: (entry) => log.note("info", "buffer.kept", named(entry)),
    onChange(presence, why) {
      troubles.forgetAll();
      switch (presence) {
        case "here":
          return log.note("warn", "store.back", {});
        case "away":
          return log.note("warn", "store.away", whyOf(why));
        case "barred":
          return log.note("error", "store.barred", whyOf(why));
      }
    },
    onTrouble(error) {
      const fields = whyOf(error);
      troubles.tell(fields.message, "buffer.failed", fields);
    },
  });

  const drainPlace = async ({ name, spool }: Place, signal: AbortSignal): Promise<void> => {
    const onDrained = (entry: SpoolEntry, fate: string): void => {
      counted.drained(entry.kind, fate);
      spooled.settled(entry);
      if (fate === "outdated") log.note("warn", "buffer.outdated", { ...named(entry), place: name });
      if (entry.kind !== "finish") onTakenIn();
    };
    const report = await drainSpool({ store: inner, spool, clock, onDrained }, signal);
    if (report === null) return;
    if (Object.values(report.drained).some((count) => count > 0))
      log.note("warn", "buffer.drained", { place: name, ...report.drained });
    for (const { id, entry, why } of report.left) {
      if (entry !== null && "attempt" in entry) spooled.guard(entry);
      troubles.tell(id, "buffer.left", { place: name, id, why, ...(entry !== null && named(entry)) });
    }
  };
  const look = async (place: Place, signal: AbortSignal): Promise<void> => {
    try {
      const before = await place.spool.totals(signal);
      const isEmpty = before.oldestAt === null;
      if (!isEmpty && !spooled.isAway()) await drainPlace(place, signal);
      const { counts, oldestAt } = isEmpty ? before : await place.spool.totals(signal);
      counted.buffered(place.name, counts, oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt));
      troubles.forget(place.name);
    } catch (error) {
      troubles.tell(place.name, "buffer.failed", { place: place.name, ...whyOf(error) });
    }
  };
  const pass = async (signal: AbortSignal): Promise<void> => {
    // While it is away that is told once, when it went.
    if (spooled.isAway()) await spooled.probe(signal).catch(() => undefined);
    for (const place of places) await look(place, signal);
  };
  return {
    store: spooled.store,
    isKept: spooled.isKept,
    async waiting(key, signal) {
      for (const { spool } of places) {
        const found = await spool.find(key, signal).catch(() => null);
        if (found !== null) return found;
      }
      return null;
    },
    drain: () => pass(new AbortController().signal),
    run: (stop) =>
      keepDraining({ everyMs, pass, onFailure: (error) => log.note("error", "buffer.failed", whyOf(error)) }, stop),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** The same trouble every second is one line, until it is over. */
function toldOnce(log: Log) {
  const told = new Set<string>();
  return {
    tell(what: string, event: string, fields: Parameters<Log["note"]>[2]): void {
      if (told.has(what)) return;
      told.add(what);
      log.note("error", event, fields);
    },
    forget: (what: string) => void told.delete(what),
    forgetAll: () => told.clear(),
  };
}

function named(entry: SpoolEntry) {
  const { tenantId, taskId } = spooledKey(entry);
  const attempt = "attempt" in entry ? entry.attempt.number : 0;
  return { kind: entry.kind, tenant_id: tenantId, task_id: taskId, attempt };
}

const whyOf = (error: unknown) => ({
  reason: reasonOf(error),
  message: error instanceof Error ? error.message : String(error),
  hint: error instanceof ExecutorError ? error.hint : null,
});
