import { isAway } from "../model/failure.ts";
import { deadLetterHeaders } from "../model/outbox.ts";
import type { Result } from "../model/result.ts";
import { type SpoolEntry, spooledKey } from "../model/spool-entry.ts";
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

const pageSize = 100;

/**
 * Brings what waits in a spool to the store, oldest first, and removes each entry once the store has it. An entry that the store does not
 * take while it answers is left, and what is behind it of the same task too; the others go on.
 *
 * @returns null where somebody else is at it.
 * @throws ExecutorError internal and `isAway`, when store or spool is: what has not been drained is still there.
 */
export async function drainSpool(ports: DrainPorts, signal: AbortSignal): Promise<DrainReport | null> {
  return await ports.spool.exclusively((held) => drained(ports, held), signal);
}

async function drained(ports: DrainPorts, signal: AbortSignal): Promise<DrainReport> {
  const { spool } = ports;
  const fates: Record<Fate, number> = { stored: 0, known: 0, conflict: 0, outdated: 0 };
  const left: LeftEntry[] = [];
  const stuck = new Set<string>();
  for (let after: string | null = null; ; ) {
    const page = await spool.read(after, pageSize, signal);
    for (const { id, entry } of page) {
      after = id;
      signal.throwIfAborted();
      const name = entry === null ? null : keyText(spooledKey(entry));
      if (entry === null || name === null) left.push({ id, entry: null, why: "it cannot be read" });
      else if (stuck.has(name)) left.push({ id, entry, why: "it is behind another of its task" });
      else {
        const fate = await tried(ports, entry, signal);
        if (typeof fate !== "string") {
          stuck.add(name);
          left.push({ id, entry, why: fate.why });
          continue;
        }
        await spool.remove([id], signal);
        fates[fate] += 1;
        ports.onDrained(entry, fate);
      }
    }
    if (page.length < pageSize) return { drained: fates, left };
  }
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
  switch (intake.kind) {
    case "accepted":
      return "stored";
    case "duplicate":
      // The store may have taken this very request, and only its answer was lost: nobody asked again then.
      if (askedAt === null || intake.record.receivedAt < askedAt - skewMs) await store.republish(taskKey(task), signal);
      return "known";
    case "conflict": {
      const facts = { reason: "conflict", stage: "intake", attempts: 1, firstSeenAt: askedAt ?? clock.now() } as const;
      await store.deadLetter(deadLetterHeaders(facts), Buffer.from(JSON.stringify(task)), signal);
      return "conflict";
    }
  }
}
