import { bytesPerMb, type LimitName, type Limits } from "../../model/limits.ts";
import type { Sandbox, SandboxSpec, Standby } from "../../ports/sandbox.ts";
import { type Demand, demand } from "./warm-demand.ts";
import type { WarmKind } from "./warm-plan.ts";

/** A sandbox that nobody has used. Times are monotonic. */
export interface Ready {
  readonly sandbox: Sandbox;
  /** Those it was made with. */
  readonly limits: Limits;
  readonly readyAt: number;
  checkedAt: number;
  /** It ended by itself. */
  isOver: boolean;
}

/** Called with what has come, or with null for nothing. */
export type Waiter = (ready: Ready | null) => void;

/** What the pool knows of sandboxes that differ in nothing that cannot be changed. */
export interface Kind {
  readonly key: string;
  readonly standby: Standby;
  readonly demand: Demand;
  /** The oldest first. */
  readonly ready: Ready[];
  /** Calls for what is coming, in order of arrival; never more than that. */
  readonly waiters: Set<Waiter>;
  /** As in the last call: the next will mostly want the same. */
  spec: SandboxSpec;
  /** Kept ready in any case. */
  min: number;
  comingCount: number;
  failures: number;
  retryAt: number;
}

/** The kinds that are wanted, or were a while ago. */
export interface Kinds {
  /** Of the spec's kind, which is new where there was none; it has been asked for last. */
  of(spec: SandboxSpec): Kind;
  get(key: string): Kind | undefined;
  all(): readonly Kind[];
  /** Those that nobody asks for any more, and of too many those that were not asked for longest. */
  forget(now: number): void;
}

/** Who asks for ever other sizes makes others forgotten, and nothing more. */
const maxKinds = 64;

export function warmKinds(standbyOf: (runtime: string) => Standby): Kinds {
  const kinds = new Map<string, Kind>();
  return {
    of(spec) {
      const standby = standbyOf(spec.runtime);
      const key = keyOf(spec, standby);
      const kind = kinds.get(key) ?? newKind(key, spec, standby);
      // Again at the end: the order is that of the last call.
      kinds.delete(key);
      kinds.set(key, kind);
      kind.spec = spec;
      return kind;
    },
    get: (key) => kinds.get(key),
    all: () => [...kinds.values()],
    forget(now) {
      for (const [key, kind] of kinds) {
        if (kind.min > 0 || kind.ready.length + kind.comingCount > 0) continue;
        if (kinds.size > maxKinds || kind.demand.isForgotten(now)) kinds.delete(key);
      }
    },
  };
}

const newKind = (key: string, spec: SandboxSpec, standby: Standby): Kind => ({
  ...{ key, spec, standby },
  demand: demand(),
  ready: [],
  waiters: new Set(),
  min: 0,
  comingCount: 0,
  failures: 0,
  retryAt: Number.NEGATIVE_INFINITY,
});

const keyOf = ({ image, runtime, limits }: SandboxSpec, { fixedLimits }: Standby): string =>
  [image.id, runtime, ...fixedLimits.map((name) => limits[name])].join(" ");

/** The same for the plan. */
export const kindNow = (kind: Kind, now: number): WarmKind => ({
  key: kind.key,
  min: kind.min,
  level: kind.demand.level(now),
  memoryBytes: kind.standby.memoryBytes + (kind.spec.image.prewarm?.memoryMb ?? 0) * bytesPerMb,
  ready: kind.ready,
  comingCount: kind.comingCount,
  retryAt: kind.retryAt,
});

/** The one that is given to a call with these limits: the oldest that needs no change, or else the oldest. None as old as `maxAgeMs`. */
export function takeReady(kind: Kind, limits: Limits, maxAgeMs: number, now: number): Ready | null {
  return takeAsItIs(kind, limits, maxAgeMs, now) ?? taken(kind, youngOf(kind, maxAgeMs, now)[0]);
}

/** The same without one that would have to be changed. */
export function takeAsItIs(kind: Kind, limits: Limits, maxAgeMs: number, now: number): Ready | null {
  const isFit = (each: Ready): boolean => changeable.every((name) => each.limits[name] === limits[name]);
  return taken(kind, youngOf(kind, maxAgeMs, now).find(isFit));
}

const youngOf = (kind: Kind, maxAgeMs: number, now: number): readonly Ready[] =>
  kind.ready.filter(({ readyAt }) => now - readyAt < maxAgeMs);

function taken(kind: Kind, found: Ready | undefined): Ready | null {
  if (found === undefined) return null;
  kind.ready.splice(kind.ready.indexOf(found), 1);
  return found;
}

/** What the engine would have to change. */
const changeable: readonly LimitName[] = ["cpus", "memory_mb", "pids"];

/** Waits for what comes. @throws the signal's reason, with the place given up. */
export async function turn({ waiters }: Kind, signal: AbortSignal): Promise<Ready | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Ready | null>();
  const onAbort = (): void => {
    // One that was called a moment ago has a sandbox, and finds out when it goes on with it.
    if (waiters.delete(resolve)) reject(signal.reason);
  };
  waiters.add(resolve);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
