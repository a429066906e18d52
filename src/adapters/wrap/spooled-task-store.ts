import type { Attempt } from "../../model/attempt.ts";
import { isAway, isBarred } from "../../model/failure.ts";
import { attemptName, type SpoolEntry, spooledKey } from "../../model/spool-entry.ts";
import { keyText } from "../../model/task.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Put, Spool } from "../../ports/spool.ts";
import type { TaskStore } from "../../ports/task-store.ts";

export interface SpooledStoreOptions {
  /** Where requests, cancels and refusals wait; null: none is taken in while the store is away. */
  readonly intakes: Spool | null;
  /** Where ends wait: in the first that takes them. */
  readonly ends: readonly Spool[];
  readonly clock: Clock;
  /**
   * So long after the store is back nobody's attempt is taken over: its owner could not renew its lease meanwhile, and its end may
   * wait in a spool. More than a lease and the time between two renewals.
   */
  readonly settleMs: number;
  readonly onKept: (entry: SpoolEntry) => void;
  /** It has become so. `why`: the failure that showed it; null when it is back. */
  readonly onChange: (presence: Presence, why: unknown) => void;
  /** A spool that did not take an entry. */
  readonly onTrouble: (error: unknown) => void;
}

/** `barred`: it answers, and lets nobody of ours in until somebody has mended settings or rights. */
export type Presence = "here" | "away" | "barred";

/** A store that may be away, and what is known of that. */
export interface SpooledStore {
  readonly store: TaskStore;
  /** From a call that failed until one that is answered. */
  isAway(): boolean;
  /** Asks the store; what is known is right afterwards. */
  probe(signal: AbortSignal): Promise<void>;
  /** Whether the attempt's end waits in a spool: what is told of it then is not yet what the store says. */
  isKept(attempt: Pick<Attempt, "key" | "number">): boolean;
  /** The attempt's end waits in a spool, whoever put it there: nobody takes it over. */
  guard(entry: SpoolEntry): void;
  /** It is with the store, or of no use any more. */
  settled(entry: SpoolEntry): void;
}

/**
 * Whatever took longer met an outage, though it was answered in the end. Every server asks twice a second or, with no room, renews every
 * 2 s, so one call at least lies in the whole of an outage that is long enough for a lease to run out.
 */
const slowMs = 3000;

/** Somebody has asked again by then. */
const passingMs = 1500;

/**
 * The same store, with what it cannot take now kept in spools instead. Of the writes that begin something only what is asked from outside
 * is: a task is begun when the store knows. What ends an attempt is kept and answered as done; whether it counts, the store's fence
 * decides when it gets there. A store that bars us may do so for days, so that no request is taken in on its account; ends are kept all
 * the same. Whoever only asks hears at once why it is away.
 */
export function spooledTaskStore(inner: TaskStore, options: SpooledStoreOptions): SpooledStore {
  const { clock, intakes, ends, settleMs } = options;
  const guarded = new Set<string>();
  let presence: Presence = "here";
  /** Why it is not here. */
  let lastFailure: unknown = null;
  let settleUntil = 0;

  let changedAt = 0;

  const become = (next: Presence, why: unknown): void => {
    if (next === presence) return;
    if (presence === "here") changedAt = clock.monotonicMs();
    presence = next;
    options.onChange(next, why);
  };

  const asked = async <T>(call: () => Promise<T>): Promise<T> => {
    const askedAt = clock.monotonicMs();
    try {
      const answer = await call();
      const now = clock.monotonicMs();
      if (presence !== "here" || now - askedAt > slowMs) settleUntil = now + settleMs;
      become("here", null);
      return answer;
    } catch (error) {
      if (isAway(error)) {
        lastFailure = error;
        become(isBarred(error) ? "barred" : "away", error);
      }
      throw error;
    }
  };
  /** Null: the store is away. What is known to be away is not asked: each call would take seconds. */
  const unlessAway = async <T>(call: () => Promise<T>): Promise<{ readonly answer: T } | { readonly why: unknown }> => {
    if (presence !== "here") return { why: lastFailure };
    try {
      return { answer: await asked(call) };
    } catch (error) {
      if (!isAway(error)) throw error;
      return { why: error };
    }
  };
  /** The same for who only asks, and is not to suffer by one call that failed in passing. */
  const answered = async <T>(call: () => Promise<T>): Promise<T> => {
    if (presence !== "here" && clock.monotonicMs() - changedAt > passingMs) throw lastFailure;
    return await asked(call);
  };
  /** @throws `why` where nothing from outside may wait. */
  const keptAsked = async (entry: SpoolEntry, why: unknown, signal: AbortSignal): Promise<Put> => {
    if (intakes === null || isBarred(why)) throw why;
    const put = await intakes.put(entry, signal).catch((error: unknown) => {
      options.onTrouble(error);
      throw error;
    });
    if (put === "kept") options.onKept(entry);
    return put;
  };
  const keptEnd = async (entry: SpoolEntry, why: unknown): Promise<void> => {
    // Before it is there: what takes over may look in between.
    guarded.add(nameOf(entry));
    for (const spool of ends) {
      try {
        await spool.put(entry, uninterrupted);
        options.onKept(entry);
        return;
      } catch (error) {
        options.onTrouble(error);
      }
    }
    guarded.delete(nameOf(entry));
    throw why;
  };
  const isHeld = (attempt: Pick<Attempt, "key" | "number">): boolean =>
    clock.monotonicMs() < settleUntil || guarded.has(attemptName(attempt));

  const store: TaskStore = {
    ...inner,
    async intake(task, requestSha256, signal, beginning) {
      const askedAt = presence === "here" ? clock.now() : null;
      let isAsked = false as boolean;
      const stored = await unlessAway(() => {
        isAsked = true;
        return inner.intake(task, requestSha256, signal, beginning);
      });
      if ("answer" in stored) return stored.answer;
      const put = await keptAsked({ kind: "intake", task, requestSha256, askedAt }, stored.why, signal);
      if (put === "conflict") return { kind: "conflict" };
      const mayHaveBegun = beginning !== undefined && isAsked;
      return { kind: "accepted", ...(mayHaveBegun && { begun: "unknown" }) };
    },
    async requestCancel(key, stubTtlMs, signal) {
      const stored = await unlessAway(() => inner.requestCancel(key, stubTtlMs, signal));
      if ("answer" in stored) return stored.answer;
      await keptAsked({ kind: "cancel", key, stubTtlMs }, stored.why, signal);
      return "kept";
    },
    async refuse(refusal, signal) {
      const stored = await unlessAway(() => inner.refuse(refusal, signal));
      if ("answer" in stored) return stored.answer;
      await keptAsked({ kind: "refusal", ...refusal }, stored.why, signal);
      return "answered";
    },
    leaseNext: (...given) => asked(() => inner.leaseNext(...given)),
    starting: (...given) => asked(() => inner.starting(...given)),
    running: (...given) => asked(() => inner.running(...given)),
    async collecting(attempt, signal) {
      const stored = await unlessAway(() => inner.collecting(attempt, signal));
      // The end may come from the state before it, and has the fence of its own.
      return "answer" in stored ? stored.answer : true;
    },
    renew: (...given) => asked(() => inner.renew(...given)),
    async release(attempt, strike, signal) {
      const stored = await unlessAway(() => inner.release(attempt, strike, signal));
      if ("answer" in stored) return stored.answer;
      await keptEnd({ kind: "release", attempt, strike }, stored.why);
      return true;
    },
    async finish(attempt, result, resultBytes, signal) {
      const stored = await unlessAway(() => inner.finish(attempt, result, resultBytes, signal));
      if ("answer" in stored) return stored.answer;
      await keptEnd({ kind: "finish", attempt, resultBytes }, stored.why);
      return true;
    },
    async finishUnleased(key, expected, result, bytes, signal) {
      if (expected.owner !== null && isHeld({ key, number: expected.attempt })) return false;
      return await asked(() => inner.finishUnleased(key, expected, result, bytes, signal));
    },
    async releaseLost(key, expected, strike, signal) {
      if (isHeld({ key, number: expected.attempt })) return false;
      return await asked(() => inner.releaseLost(key, expected, strike, signal));
    },
    async adopt(attempt, owner, leaseMs, signal) {
      return isHeld(attempt) ? null : await asked(() => inner.adopt(attempt, owner, leaseMs, signal));
    },
    // A copy that helps to find a letter again, and holds up who sent it.
    keepLetter: (...given) => answered(() => inner.keepLetter(...given)),
    // Whoever records keeps what could not be recorded, for a while.
    audit: (...given) => answered(() => inner.audit(...given)),
    get: (...given) => answered(() => inner.get(...given)),
    list: (...given) => answered(() => inner.list(...given)),
  };
  return {
    store,
    isAway: () => presence !== "here",
    probe: async (signal) => void (await asked(() => inner.list({ limit: 1 }, signal))),
    isKept: (attempt) => guarded.has(attemptName(attempt)),
    guard: (entry) => void guarded.add(nameOf(entry)),
    settled: (entry) => void guarded.delete(nameOf(entry)),
  };
}

const nameOf = (entry: SpoolEntry): string =>
  "attempt" in entry ? attemptName(entry.attempt) : keyText(spooledKey(entry));

/** An end has to be kept whoever waits for it. */
const uninterrupted: AbortSignal = new AbortController().signal;
