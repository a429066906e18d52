import { endedIfQueued } from "../executor/cancel-task.ts";
import { ExecutorError, isAway } from "../model/failure.ts";
import { deadLetterHeaders } from "../model/outbox.ts";
import type { Result } from "../model/result.ts";
import { type Lane, type SpoolEntry, spooledKey } from "../model/spool-entry.ts";
import { keyText, taskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { Spool } from "../ports/spool.ts";
import type { TaskStore } from "../ports/task-store.ts";

export interface DrainPorts {
  /** The store itself: what it does not take stays in the spool. */
  readonly store: TaskStore;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly onDrained: (entry: SpoolEntry, fate: Fate) => void;
}

/** What became of an entry. */
export type Fate =
  | "stored"
  /** The store had it: its answer was lost, or it came again. */
  | "known"
  /** Another request has its id: a dead letter. */
  | "conflict"
  /** The fence refused it: another attempt has the task, or its answer. */
  | "outdated";

export interface LeftEntry {
  readonly id: string;
  /** Null: it cannot be read. */
  readonly entry: SpoolEntry | null;
  readonly why: string;
}

export interface DrainReport {
  readonly drained: Readonly<Record<Fate, number>>;
  /** Still there, though the store answers. */
  readonly left: readonly LeftEntry[];
}

/** Held in memory at once: a call may have a MiB. */
const pageSize = 20;

/**
 * Brings what waits in a spool to the store, ends before what was asked, each lane oldest first, and removes each entry once the store has it. An
 * entry that the store does not take while it answers is left, and what is behind it of the same task too; the others go on.
 *
 * @returns null where somebody else is at it.
 * @throws ExecutorError internal and `isAway`, when store or spool is: what has not been drained is still there.
 */
export async function drainSpool(ports: DrainPorts, signal: AbortSignal): Promise<DrainReport | null> {
  return await ports.spool.exclusively((held) => drained(ports, held), signal);
}

async function drained(ports: DrainPorts, signal: AbortSignal): Promise<DrainReport> {
  const round: Round = {
    fates: { stored: 0, known: 0, conflict: 0, outdated: 0 },
    left: [],
    stuck: new Set(),
    after: { ends: null, intakes: null },
  };
  do {
    while (await drainedPage(ports, "ends", round, signal));
  } while (await drainedPage(ports, "intakes", round, signal));
  return { drained: round.fates, left: round.left };
}

interface Round {
  readonly fates: Record<Fate, number>;
  readonly left: LeftEntry[];
  /** Tasks of which an entry was left. */
  readonly stuck: Set<string>;
  readonly after: Record<Lane, string | null>;
}

/** Whether there may be more. */
async function drainedPage(ports: DrainPorts, lane: Lane, round: Round, signal: AbortSignal): Promise<boolean> {
  const page = await ports.spool.read(lane, round.after[lane], pageSize, signal);
  for (const { id, entry } of page) {
    round.after[lane] = id;
    signal.throwIfAborted();
    const fate = await fateOf(ports, entry, round.stuck, signal);
    if (typeof fate !== "string" || entry === null) {
      if (entry !== null) round.stuck.add(keyText(spooledKey(entry)));
      round.left.push({ id, entry, why: typeof fate === "string" ? fate : fate.why });
      continue;
    }
    await ports.spool.remove([id], signal);
    round.fates[fate] += 1;
    ports.onDrained(entry, fate);
  }
  return page.length === pageSize;
}

async function fateOf(
  ports: DrainPorts,
  entry: SpoolEntry | null,
  stuck: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Fate | { readonly why: string }> {
  if (entry === null) return { why: "it cannot be read" };
  if (stuck.has(keyText(spooledKey(entry)))) return { why: "it is behind another of its task" };
  return await tried(ports, entry, signal);
}

/** @throws when the store answers nobody; what it refuses of one entry is that entry's. */
async function tried(
  ports: DrainPorts,
  entry: SpoolEntry,
  signal: AbortSignal,
): Promise<Fate | { readonly why: string }> {
  try {
    return await brought(ports, entry, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isAway(error)) await ports.store.list({ limit: 1 }, signal);
    return { why: error instanceof Error ? error.message : String(error) };
  }
}

async function brought(ports: DrainPorts, entry: SpoolEntry, signal: AbortSignal): Promise<Fate> {
  const { store } = ports;
  switch (entry.kind) {
    case "intake":
      return await takenIn(ports, entry, signal);
    case "cancel": {
      const asked = await store.requestCancel(entry.key, entry.stubTtlMs, signal);
      if (asked === "kept") throw new ExecutorError("internal", "the cancel was kept once more");
      return (await endedIfQueued(store, ports.clock, asked, signal)).kind === "over" ? "known" : "stored";
    }
    case "refusal":
      return (await store.refuse(entry, signal)) === "known" ? "conflict" : "stored";
    case "finish": {
      const { attempt, resultBytes } = entry;
      const result = JSON.parse(resultBytes.toString("utf8")) as Result;
      if (await store.finish(attempt, result, resultBytes, signal)) return "stored";
      const record = await store.get(attempt.key, signal);
      return record?.resultBytes?.equals(resultBytes) ? "known" : "outdated";
    }
    case "release":
      return (await store.release(entry.attempt, entry.strike, signal)) ? "stored" : "outdated";
  }
}

/** The clocks of the store and of whoever put the entry may be apart by so much. */
const skewMs = 5000;

async function takenIn(
  { store, clock }: DrainPorts,
  { task, requestSha256, askedAt }: Extract<SpoolEntry, { readonly kind: "intake" }>,
  signal: AbortSignal,
): Promise<Fate> {
  const intake = await store.intake(task, requestSha256, signal);
  if (intake.kind === "accepted") return "stored";
  if (intake.kind === "duplicate") {
    // The store may have taken this very request, and only its answer was lost: nobody asked again then.
    if (askedAt === null || intake.record.receivedAt < askedAt - skewMs) await store.republish(taskKey(task), signal);
    return "known";
  }
  if (intake.kind === "conflict") {
    const facts = { reason: "conflict", stage: "intake", attempts: 1, firstSeenAt: askedAt ?? clock.now() } as const;
    await store.deadLetter(deadLetterHeaders(facts), Buffer.from(JSON.stringify(task)), signal);
    return "conflict";
  }
  // It was answered as taken in: it waits on until there is room.
  throw new ExecutorError("internal", "the store takes no further task now");
}
