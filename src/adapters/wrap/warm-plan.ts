/** What the operator allows the pool. */
export interface WarmBounds {
  /** Sandboxes that stand ready or are on their way there, of all kinds together. */
  readonly maxCount: number;
  /** What those may take together. */
  readonly memoryBytes: number;
  /** None that is older is given away. */
  readonly maxAgeMs: number;
}

/** One kind of sandbox: those that differ in nothing that cannot be changed. Times are monotonic. */
export interface WarmKind {
  readonly key: string;
  /** Kept ready whether anybody asks or not. */
  readonly min: number;
  /** How many are asked for at about the same time. */
  readonly level: number;
  readonly memoryBytes: number;
  /** Those that stand ready, the oldest first. */
  readonly ready: readonly { readonly readyAt: number; readonly checkedAt: number }[];
  /** Being started, or asked whether they still wait. */
  readonly comingCount: number;
  /** No earlier: starting one has failed. */
  readonly retryAt: number;
}

export interface WarmState {
  readonly kinds: readonly WarmKind[];
  readonly isStarting: boolean;
  readonly isChecking: boolean;
  /** Sandboxes at a task. */
  readonly busyCount: number;
  /** Calls that wait for a sandbox of their own. */
  readonly coldCount: number;
  readonly lastTakenAt: number;
  /** Since when something is missing. */
  readonly shortSince: number;
  readonly lastStart: { readonly endedAt: number; readonly tookMs: number };
}

export type WarmStep =
  | { readonly kind: "start"; readonly key: string }
  /** The oldest of the kind. */
  | { readonly kind: "retire"; readonly key: string; readonly why: "aged" | "excess" }
  /** The one of the kind that was not asked for longest. */
  | { readonly kind: "check"; readonly key: string }
  /** Until something happens, or that moment. `isShort`: something is missing, and it is not yet the time to start it. */
  | { readonly kind: "wait"; readonly until: number; readonly isShort: boolean };

/** A pause since the last sandbox was given away, so that a row of tasks is not met by a start between any two. */
const settleMs = 20;
/** While a task runs: one that ends within this is to share none of its time with a start, and a longer one does not feel it. */
const shortTaskMs = 150;
/** However busy: so long after something came to be missing, one is started all the same. */
const patienceMs = 1000;
/** Demand falls without anybody telling. */
const lookAgainMs = 30_000;
const checkEveryMs = 60_000;
/** One is replaced from this part of its age on, while its kind has all it wants. */
const agingShare = 0.9;

/** What the pool does next. Pure. */
export function nextStep(state: WarmState, bounds: WarmBounds, now: number): WarmStep {
  const sizes = wantedSizes(state.kinds, bounds);
  const missingOf = (kind: WarmKind): number => (sizes.get(kind.key) ?? 0) - kind.ready.length - kind.comingCount;

  for (const kind of state.kinds) {
    const [oldest] = kind.ready;
    if (oldest === undefined) continue;
    if (now - oldest.readyAt >= bounds.maxAgeMs) return { kind: "retire", key: kind.key, why: "aged" };
    if (missingOf(kind) < 0) return { kind: "retire", key: kind.key, why: "excess" };
    // One after the other: of several of one age most stand ready all the time.
    const isOld = now - oldest.readyAt >= bounds.maxAgeMs * agingShare;
    if (isOld && missingOf(kind) === 0 && !state.isStarting && kind.retryAt <= now)
      return { kind: "retire", key: kind.key, why: "aged" };
  }

  const startAt = state.isStarting ? Number.POSITIVE_INFINITY : mayStartAt(state);
  const short = state.kinds.filter((kind) => missingOf(kind) > 0);
  const [first] = short
    .filter((kind) => Math.max(startAt, kind.retryAt) <= now)
    .sort((a, b) => a.ready.length - b.ready.length || missingOf(b) - missingOf(a));
  if (first) return { kind: "start", key: first.key };

  const checkAt = (kind: WarmKind): number => Math.min(...kind.ready.map(({ checkedAt }) => checkedAt)) + checkEveryMs;
  const unchecked = state.isChecking ? undefined : state.kinds.find((kind) => checkAt(kind) <= now);
  if (unchecked) return { kind: "check", key: unchecked.key };

  const due = [
    now + lookAgainMs,
    ...short.map((kind) => Math.max(startAt, kind.retryAt)),
    ...state.kinds.flatMap(({ ready: [oldest] }) => (oldest ? ageStepsOf(oldest.readyAt, bounds, now) : [])),
    ...(state.isChecking ? [] : state.kinds.map(checkAt)),
  ];
  return { kind: "wait", until: Math.min(...due), isShort: short.length > 0 };
}

const ageStepsOf = (readyAt: number, { maxAgeMs }: WarmBounds, now: number): readonly number[] =>
  [readyAt + maxAgeMs * agingShare, readyAt + maxAgeMs].filter((at) => at > now);

/**
 * One start at a time; none beside a call that waits for a sandbox of its own, none right after one was given away, and while tasks
 * run no more than half of the time. All of that for so long only, or a server that is always busy would never have any.
 */
function mayStartAt({ coldCount, busyCount, lastTakenAt, lastStart, shortSince }: WarmState): number {
  const rested = busyCount > 0 ? lastStart.endedAt + lastStart.tookMs : 0;
  const settledAt = lastTakenAt + (busyCount > 0 ? shortTaskMs : settleMs);
  const held = coldCount > 0 ? Number.POSITIVE_INFINITY : Math.max(settledAt, rested);
  return Math.min(held, shortSince + patienceMs);
}

/**
 * How many of each kind: what is to be kept in any case first, then what is asked for, one of each kind in turn so that the busiest
 * does not take all. By demand and then by key: an order that does not turn with every call.
 */
export function wantedSizes(kinds: readonly WarmKind[], bounds: WarmBounds): ReadonlyMap<string, number> {
  const sizes = new Map(kinds.map(({ key }) => [key, 0]));
  const inOrder = [...kinds].sort((a, b) => b.level - a.level || (a.key < b.key ? -1 : 1));
  let { maxCount: room, memoryBytes } = bounds;
  const grow = (need: (kind: WarmKind) => number): void => {
    for (let size = 1; size <= bounds.maxCount; size += 1)
      for (const kind of inOrder) {
        if (need(kind) < size || (sizes.get(kind.key) ?? 0) >= size) continue;
        if (room < 1 || memoryBytes < kind.memoryBytes) continue;
        sizes.set(kind.key, size);
        room -= 1;
        memoryBytes -= kind.memoryBytes;
      }
  };
  grow(({ min }) => min);
  grow(({ min, level }) => Math.max(min, level));
  return sizes;
}
