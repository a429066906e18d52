import type { Clock } from "../../ports/clock.ts";
import type { OfferedSandbox, ReadySandboxes, Sandbox, Sandboxes, SandboxSpec } from "../../ports/sandbox.ts";
import { type Kind, kindNow, type Ready, takeAsItIs, takeReady, turn, warmKinds } from "./warm-kinds.ts";
import { nextStep, type WarmBounds } from "./warm-plan.ts";

/** Sandboxes that are kept ready without having been asked for. */
export interface WarmSeed {
  readonly min: number;
  /** Asked when the pool begins, and again when none can be made of the answer any more. */
  readonly spec: (signal: AbortSignal) => Promise<SandboxSpec>;
}

export interface WarmPoolOptions {
  readonly bounds: WarmBounds;
  readonly seeds: readonly WarmSeed[];
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly told: WarmListener;
}

/** Hears what the pool does; must not throw. */
export interface WarmListener {
  /** A call has its sandbox. `wait`: one that was on its way to the pool. */
  given(outcome: "hit" | "wait" | "miss", waitMs: number): void;
  /** How long one that was given away had stood ready. */
  aged(ageMs: number): void;
  /** One that was never used is taken down. */
  retired(why: Retirement): void;
  /** Something could not be made ready; it is tried again. */
  failed(error: unknown): void;
}

/**
 * `lost`: it ended by itself, or no longer answered. `unfit`: the task's limits could not be set on it. `told`: it was told a task that was
 * not for it.
 */
export type Retirement = "aged" | "excess" | "lost" | "unfit" | "told" | "closed";

export interface WarmPool extends Sandboxes, ReadySandboxes, AsyncDisposable {
  /** From here on some stand ready; before, every call gets one of its own. */
  begin(): void;
  /** How many stand ready, and how many are being started, now. */
  counts(): { readonly ready: number; readonly starting: number };
  /** Takes down what stands ready and starts none any more; calls go on as without a pool. Twice is once. */
  close(): Promise<void>;
}

/** Between starts that fail: doubled each time, up to a minute. */
const firstRetryMs = 1000;
const maxRetryMs = 60_000;

/**
 * The same sandboxes; of those that are often asked for some stand ready: started, attached, never used. One is given away once, and
 * ends with its task as any other. A call that finds none gets the next that is on its way, in order of arrival, or else one of its own.
 */
export function warmPool(inner: Sandboxes, { bounds, seeds, clock, told }: WarmPoolOptions): WarmPool {
  const kinds = warmKinds((runtime) => inner.standby(runtime));
  const stop = new AbortController();
  const underWay = new Set<Promise<void>>();
  const grown = new Map<WarmSeed, Kind>();
  const unfound = new Set(seeds);
  let hasBegun = false;
  let [isStarting, isChecking] = [false, false];
  let [busyCount, coldCount] = [0, 0];
  let lastTakenAt = Number.NEGATIVE_INFINITY;
  let shortSince: number | null = null;
  let lastStart = { endedAt: Number.NEGATIVE_INFINITY, tookMs: 0 };
  let timer: NodeJS.Timeout | null = null;
  let closing: Promise<void> | null = null;
  const now = (): number => clock.monotonicMs();

  const inBackground = (work: Promise<void>): void => {
    const held = work.catch(told.failed).finally(() => underWay.delete(held));
    underWay.add(held);
  };

  const retire = (sandbox: Sandbox, why: Retirement): void => {
    told.retired(why);
    inBackground((async () => await sandbox[Symbol.asyncDispose]())());
  };

  /** To who has waited longest, or to the others that stand ready. */
  const arrived = (kind: Kind, ready: Ready): void => {
    kind.comingCount -= 1;
    const [waiter] = kind.waiters;
    if (stop.signal.aborted) retire(ready.sandbox, "closed");
    else if (waiter !== undefined) {
      kind.waiters.delete(waiter);
      waiter(ready);
    } else {
      kind.ready.push(ready);
      kind.ready.sort((a, b) => a.readyAt - b.readyAt);
    }
  };

  /** Nothing comes: who came last goes without. */
  const missed = (kind: Kind): void => {
    kind.comingCount -= 1;
    for (const waiter of [...kind.waiters].slice(kind.comingCount)) {
      kind.waiters.delete(waiter);
      waiter(null);
    }
  };

  const lookOut = (kind: Kind, ready: Ready): void => {
    void ready.sandbox.ended.then(() => {
      ready.isOver = true;
      const at = kind.ready.indexOf(ready);
      if (at < 0) return;
      kind.ready.splice(at, 1);
      retire(ready.sandbox, "lost");
      look();
    });
  };

  const start = async (kind: Kind): Promise<void> => {
    isStarting = true;
    kind.comingCount += 1;
    const { spec } = kind;
    const beganAt = now();
    try {
      const sandbox = await inner.create({ ...spec, purpose: "pool" }, stop.signal);
      const readyAt = now();
      kind.failures = 0;
      const ready: Ready = { sandbox, limits: spec.limits, readyAt, checkedAt: readyAt, isOver: false };
      lookOut(kind, ready);
      arrived(kind, ready);
    } catch (error) {
      kind.failures += 1;
      kind.retryAt = now() + Math.min(maxRetryMs, firstRetryMs * 2 ** (kind.failures - 1));
      missed(kind);
      if (!stop.signal.aborted) {
        told.failed(error);
        // Its image may have been built again.
        for (const [seed, of] of grown) if (of === kind) unfound.add(seed);
      }
    }
    lastStart = { endedAt: now(), tookMs: now() - beganAt };
    shortSince = null;
    isStarting = false;
    look();
  };

  const check = async (kind: Kind): Promise<void> => {
    const ready = kind.ready.reduce((a, b) => (b.checkedAt < a.checkedAt ? b : a));
    kind.ready.splice(kind.ready.indexOf(ready), 1);
    kind.comingCount += 1;
    isChecking = true;
    const isWell = await ready.sandbox.check(stop.signal).catch(() => stop.signal.aborted);
    isChecking = false;
    if (isWell) ready.checkedAt = now();
    broughtBack(kind, ready, isWell ? null : "lost");
  };

  /** What was out for a while, and counted among what comes; null: it is good for a task. */
  const broughtBack = (kind: Kind, ready: Ready, spoiled: Retirement | null): void => {
    if (spoiled === null && !ready.isOver) arrived(kind, ready);
    else {
      missed(kind);
      retire(ready.sandbox, spoiled ?? "lost");
    }
    look();
  };

  const lookUp = async (seed: WarmSeed): Promise<void> => {
    try {
      const kind = kinds.of(await seed.spec(stop.signal));
      const before = grown.get(seed);
      if (before) before.min -= seed.min;
      kind.min += seed.min;
      grown.set(seed, kind);
      if (before !== kind) look();
    } catch (error) {
      // Asked again at the next look: at the latest when the clock says so.
      unfound.add(seed);
      if (!stop.signal.aborted) told.failed(error);
    }
  };

  /** Does what is due, and sets the clock for the rest. */
  const look = (): void => {
    if (timer) clearTimeout(timer);
    timer = null;
    while (hasBegun && !stop.signal.aborted) {
      kinds.forget(now());
      const since = shortSince ?? now();
      const state = {
        ...{ isStarting, isChecking, busyCount, coldCount, lastTakenAt, lastStart },
        kinds: kinds.all().map((kind) => kindNow(kind, now())),
        shortSince: since,
      };
      const step = nextStep(state, bounds, now());
      if (step.kind === "wait") {
        shortSince = step.isShort ? since : null;
        timer = setTimeout(lookUpAndLook, Math.max(1, step.until - now()));
        timer.unref();
        return;
      }
      const kind = kinds.get(step.key);
      if (kind === undefined) return;
      if (step.kind === "start") inBackground(start(kind));
      else if (step.kind === "check") inBackground(check(kind));
      else for (const { sandbox } of kind.ready.splice(0, 1)) retire(sandbox, step.why);
    }
  };

  const lookUpAndLook = (): void => {
    const sought = [...unfound];
    unfound.clear();
    for (const seed of sought) inBackground(lookUp(seed));
    look();
  };

  /** A name that has come to mean another image is looked up anew. */
  const followImage = ({ image }: SandboxSpec): void => {
    for (const [seed, { spec }] of grown)
      if (spec.image.name === image.name && spec.image.id !== image.id) {
        unfound.add(seed);
        lookUpAndLook();
      }
  };

  /** The same sandbox under the task's limits; null where they could not be set. */
  const fitted = async (ready: Ready, spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox | null> => {
    try {
      await ready.sandbox.refit(spec.limits, signal);
      return ready.sandbox;
    } catch {
      retire(ready.sandbox, "unfit");
      signal.throwIfAborted();
      return null;
    }
  };

  /** A sandbox of the pool; null: there is none, and none comes that is not another's. */
  const ofThePool = async (kind: Kind, spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox | null> => {
    const askedAt = now();
    const found = takeReady(kind, spec.limits, bounds.maxAgeMs, askedAt);
    const isComing = kind.comingCount > kind.waiters.size;
    const ready = found ?? (isComing ? await turn(kind, signal) : null);
    if (ready === null) return null;
    lastTakenAt = now();
    look();
    const sandbox = await fitted(ready, spec, signal);
    if (sandbox === null) return null;
    told.given(found ? "hit" : "wait", now() - askedAt);
    told.aged(lastTakenAt - ready.readyAt);
    return lent(sandbox, true);
  };

  const offer = (spec: SandboxSpec): OfferedSandbox | null => {
    if (!hasBegun || stop.signal.aborted) return null;
    const kind = kinds.of(spec);
    const askedAt = now();
    const ready = takeAsItIs(kind, spec.limits, bounds.maxAgeMs, askedAt);
    if (ready === null) return null;
    kind.comingCount += 1;
    let isTold = false;
    return {
      id: ready.sandbox.id,
      resumePoint: ready.sandbox.resumePoint(),
      ahead() {
        isTold = true;
        return ready.sandbox;
      },
      take() {
        kind.demand.ask(askedAt);
        followImage(spec);
        lastTakenAt = now();
        told.given("hit", lastTakenAt - askedAt);
        told.aged(lastTakenAt - ready.readyAt);
        missed(kind);
        look();
        return lent(ready.sandbox, true);
      },
      giveBack: () => broughtBack(kind, ready, isTold ? "told" : null),
    };
  };

  const itsOwn = async (spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> => {
    const askedAt = now();
    coldCount += 1;
    try {
      const sandbox = await inner.create(spec, signal);
      told.given("miss", now() - askedAt);
      return lent(sandbox, false);
    } finally {
      coldCount -= 1;
      look();
    }
  };

  const lent = (sandbox: Sandbox, warm: boolean): Sandbox => {
    busyCount += 1;
    let isBack = false;
    const back = (): void => {
      if (isBack) return;
      isBack = true;
      busyCount -= 1;
      look();
    };
    return {
      ...sandbox,
      warm,
      detach: () => sandbox.detach().finally(back),
      [Symbol.asyncDispose]: async () => {
        await sandbox[Symbol.asyncDispose]();
        back();
      },
    };
  };

  const close = (): Promise<void> => {
    closing ??= (async () => {
      stop.abort(new Error("the pool is closed"));
      if (timer) clearTimeout(timer);
      for (const kind of kinds.all()) {
        for (const { sandbox } of kind.ready.splice(0)) retire(sandbox, "closed");
        for (const waiter of kind.waiters) waiter(null);
        kind.waiters.clear();
      }
      while (underWay.size > 0) await Promise.all(underWay);
    })();
    return closing;
  };

  return {
    async create(spec, signal) {
      signal.throwIfAborted();
      if (!hasBegun || stop.signal.aborted) return inner.create(spec, signal);
      const kind = kinds.of(spec);
      kind.demand.ask(now());
      followImage(spec);
      return (await ofThePool(kind, spec, signal)) ?? (await itsOwn(spec, signal));
    },
    attach: (from, signal) => inner.attach(from, signal),
    requireRuntime: (name, signal) => inner.requireRuntime(name, signal),
    standby: (runtime) => inner.standby(runtime),
    begin() {
      hasBegun = true;
      lookUpAndLook();
    },
    counts: () => ({
      ready: kinds.all().reduce((sum, { ready }) => sum + ready.length, 0),
      starting: isStarting ? 1 : 0,
    }),
    offer,
    close,
    async [Symbol.asyncDispose]() {
      await close();
      // What was out until now.
      await Promise.all(underWay);
    },
  };
}
