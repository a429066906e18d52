import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type WarmListener, type WarmPoolOptions, warmPool } from "../../../../src/adapters/wrap/warm-pool.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import type { Limits } from "../../../../src/model/limits.ts";
import type { SandboxSpec } from "../../../../src/ports/sandbox.ts";
import { type FakeSandboxes, fakeSandboxes } from "../../../support/fake-sandboxes.ts";
import { aTask, never } from "../../../support/samples.ts";

const { limits } = aTask();
const aSpec = (differences: Partial<Limits> = {}, imageId = "sha256:1"): SandboxSpec => ({
  image: { name: "shell", id: imageId, env: {} },
  runtime: "runc",
  limits: { ...limits, ...differences },
});

/** What was told, in short. */
function listener(): WarmListener & { readonly given_: string[]; readonly retired_: string[]; failures: number } {
  const told = {
    given_: [] as string[],
    retired_: [] as string[],
    failures: 0,
    given: (outcome: string) => void told.given_.push(outcome),
    aged: () => undefined,
    retired: (why: string) => void told.retired_.push(why),
    failed: () => {
      told.failures += 1;
    },
  };
  return told;
}

/** A pool that keeps `min` of the shell image. */
function aPool(min: number, differences: Partial<WarmPoolOptions> = {}, engine: FakeSandboxes = fakeSandboxes()) {
  const told = listener();
  const pool = warmPool(engine, {
    bounds: { maxCount: 10, memoryBytes: 10_000, maxAgeMs: 600_000 },
    seeds: min === 0 ? [] : [{ min, spec: async () => aSpec() }],
    clock: { monotonicMs: () => Date.now() },
    told,
    ...differences,
  });
  pool.begin();
  return { pool, engine, told };
}

const later = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a warm pool", () => {
  test("gives what stands ready at once, each one to one call, and makes others in their place", async () => {
    const { pool, engine, told } = aPool(2);
    await later(1000);
    expect(pool.counts()).toEqual({ ready: 2, starting: 0 });
    const taken = await Promise.all([pool.create(aSpec(), never()), pool.create(aSpec(), never())]);
    expect(taken.map(({ id, warm }) => [id, warm])).toEqual([
      ["box-1", true],
      ["box-2", true],
    ]);
    for (const sandbox of taken) await sandbox[Symbol.asyncDispose]();
    await later(2000);
    const [third] = [await pool.create(aSpec(), never())];
    expect(third.id).toBe("box-3");
    expect(told.given_).toEqual(["hit", "hit", "hit"]);
    expect(engine.made.map(({ isRemoved }) => isRemoved)).toEqual([true, true, false, false]);
    await pool.close();
  });

  test("a burst larger than the pool: those first that came first, the others each with one of its own", async () => {
    const { pool, engine, told } = aPool(2);
    await later(1000);
    const askedBefore = engine.asked.length;
    const order: number[] = [];
    const calls = [1, 2, 3, 4, 5].map(async (memory) => {
      const sandbox = await pool.create(aSpec({ memory_mb: 100 + memory }), never());
      order.push(memory);
      return sandbox.warm;
    });
    await later(100);
    expect(await Promise.all(calls)).toEqual([true, true, false, false, false]);
    expect(order).toEqual([1, 2, 3, 4, 5]);
    const ofTheirOwn = engine.asked.slice(askedBefore).filter(({ purpose }) => purpose === undefined);
    expect(ofTheirOwn.map((spec) => spec.limits.memory_mb)).toEqual([103, 104, 105]);
    expect(told.given_).toEqual(["hit", "hit", "miss", "miss", "miss"]);
    await pool.close();
  });

  test("one that is offered is nobody else's; taken it is a call as any, given back it stands ready", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    const offered = pool.offer(aSpec());
    expect(offered?.id).toBe("box-1");
    expect(pool.offer(aSpec())).toBeNull();
    expect(pool.counts().ready).toBe(0);
    offered?.giveBack();
    expect(pool.counts()).toEqual({ ready: 1, starting: 0 });
    expect(told.given_).toEqual([]);
    const taken = pool.offer(aSpec())?.take();
    expect(taken).toMatchObject({ id: "box-1", warm: true });
    expect(told.given_).toEqual(["hit"]);
    await later(2000);
    expect(pool.counts().ready).toBe(1);
    await taken?.[Symbol.asyncDispose]();
    expect(engine.made.map(({ isRemoved }) => isRemoved)).toEqual([true, false]);
    await pool.close();
  });

  test("one that was told anything while it was offered is not given back but replaced", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    const offered = pool.offer(aSpec());
    expect(offered?.ahead()).toBe(engine.made[0]);
    offered?.giveBack();
    await later(0);
    expect(pool.counts().ready).toBe(0);
    expect(told.retired_).toEqual(["told"]);
    await later(2000);
    expect(pool.counts().ready).toBe(1);
    expect(engine.made.map(({ isRemoved }) => isRemoved)).toEqual([true, false]);
    await pool.close();
  });

  test("none is offered that would have to be changed; one that ended while it was offered does not come back", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    expect(pool.offer(aSpec({ pids: 7 }))).toBeNull();
    expect(pool.offer(aSpec({}, "sha256:2"))).toBeNull();
    const offered = pool.offer(aSpec());
    engine.made[0]?.die();
    await later(1);
    offered?.giveBack();
    await later(0);
    expect(pool.counts().ready).toBe(0);
    expect(told.retired_).toEqual(["lost"]);
    await later(2000);
    expect(pool.counts().ready).toBe(1);
    await pool.close();
  });

  test("a call that waits for one that was offered gets it when it is given back, and one of its own when it is taken", async () => {
    for (const isTaken of [false, true]) {
      const { pool, told } = aPool(1, { bounds: { maxCount: 1, memoryBytes: 10_000, maxAgeMs: 600_000 } });
      await later(1000);
      const offered = pool.offer(aSpec());
      const call = pool.create(aSpec(), never());
      await later(1);
      if (isTaken) offered?.take();
      else offered?.giveBack();
      await later(200);
      expect((await call).warm).toBe(!isTaken);
      expect(told.given_).toEqual(isTaken ? ["hit", "miss"] : ["wait"]);
      await pool.close();
    }
  });

  test("what is given back to a pool that was closed meanwhile is removed before its dispose is over", async () => {
    const { pool, engine } = aPool(1);
    await later(1000);
    const offered = pool.offer(aSpec());
    await pool.close();
    offered?.giveBack();
    await pool[Symbol.asyncDispose]();
    expect(engine.made.map(({ isRemoved }) => isRemoved)).toEqual([true]);
  });

  test("the first that finds none ready gets the one that is on its way, ahead of who comes later", async () => {
    const { pool, told } = aPool(1);
    await later(50);
    const first = pool.create(aSpec(), never());
    const second = pool.create(aSpec(), never());
    await later(50);
    expect((await first).id).toBe("box-1");
    expect(told.given_).toEqual(["wait"]);
    await later(50);
    expect((await second).warm).toBe(false);
    await pool.close();
  });

  test("who stops waiting leaves what was on its way to the next", async () => {
    const { pool, engine } = aPool(1);
    await later(50);
    const cancel = new AbortController();
    const call = pool.create(aSpec(), cancel.signal);
    cancel.abort(new ExecutorError("cancelled", "asked"));
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
    await later(50);
    expect((await pool.create(aSpec(), never())).id).toBe("box-1");
    expect(engine.made[0]?.isRemoved).toBe(false);
    await pool.close();
  });

  test("who waits for one that cannot be made gets one of its own", async () => {
    const { pool, engine, told } = aPool(1);
    await later(50);
    const call = pool.create(aSpec(), never());
    engine.refusesStart = true;
    await later(50);
    engine.refusesStart = false;
    await later(100);
    expect((await call).warm).toBe(false);
    expect(told).toMatchObject({ failures: 1, given_: ["miss"] });
    await pool.close();
  });

  test("grows with what is asked for, and starts none beside a call that waits for its own", async () => {
    const { pool, engine } = aPool(0);
    const calls = [1, 2, 3].map(() => pool.create(aSpec(), never()));
    await later(99);
    expect(engine.asked).toHaveLength(3);
    await later(1);
    for (const sandbox of await Promise.all(calls)) await sandbox[Symbol.asyncDispose]();
    await later(5000);
    expect(pool.counts()).toEqual({ ready: 3, starting: 0 });
    await later(300_000);
    expect(pool.counts()).toEqual({ ready: 0, starting: 0 });
    await pool.close();
  });

  test.each<[string, Partial<Limits>, string | undefined]>([
    ["an image", {}, "sha256:2"],
    ["a size of disk", { disk_mb: limits.disk_mb + 1 }, undefined],
    ["a size of output", { output_mb: limits.output_mb + 1 }, undefined],
    ["a number of files", { inodes: limits.inodes + 1 }, undefined],
  ])("gives none to a call with %s of its own", async (_name, differences, imageId) => {
    const { pool } = aPool(1);
    await later(1000);
    const call = pool.create(aSpec(differences, imageId), never());
    await later(100);
    expect((await call).warm).toBe(false);
    await pool.close();
  });

  test("gives one its task's limits before it is used, and prefers one that has them", async () => {
    const { pool, engine } = aPool(1);
    await later(1000);
    const first = await pool.create(aSpec({ memory_mb: 512, cpus: 0.5, timeout_seconds: 7 }), never());
    expect(engine.made[0]?.limits).toMatchObject({ memory_mb: 512, cpus: 0.5, timeout_seconds: 7 });
    // As the last call wanted it.
    await first[Symbol.asyncDispose]();
    await later(1000);
    expect(engine.asked.at(-1)?.limits.memory_mb).toBe(512);
    await pool.close();
  });

  test("one that does not take the limits is not used: the call gets one of its own", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    engine.refusesRefit = true;
    const call = pool.create(aSpec({ memory_mb: 512 }), never());
    await later(100);
    expect((await call).warm).toBe(false);
    expect(engine.made[0]?.isRemoved).toBe(true);
    expect(told).toMatchObject({ given_: ["miss"], retired_: ["unfit"] });
    await pool.close();
  });

  test("one that ended by itself is never given away, and another takes its place", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    engine.made[0]?.die();
    await later(1000);
    expect((await pool.create(aSpec(), never())).id).toBe("box-2");
    expect(told.retired_).toEqual(["lost"]);
    expect(engine.made[0]?.isRemoved).toBe(true);
    await pool.close();
  });

  test("one that does not answer when it is asked is replaced", async () => {
    const { pool, engine, told } = aPool(1);
    await later(1000);
    Object.assign(engine.made[0] ?? {}, { isWell: false });
    await later(61_000);
    expect((await pool.create(aSpec(), never())).id).toBe("box-2");
    expect(told.retired_).toEqual(["lost"]);
    await pool.close();
  });

  test("none is given away that is older than it may be", async () => {
    const { pool, engine, told } = aPool(2);
    await later(1000);
    await later(600_000);
    const taken = [await pool.create(aSpec(), never()), await pool.create(aSpec(), never())];
    expect(taken.map(({ id }) => id)).toEqual(["box-3", "box-4"]);
    expect(told.retired_).toEqual(["aged", "aged"]);
    expect(engine.made.slice(0, 2).map(({ isRemoved }) => isRemoved)).toEqual([true, true]);
    await pool.close();
  });

  test("closed, it leaves nothing and starts nothing; calls go on", async () => {
    const { pool, engine, told } = aPool(3);
    await later(250);
    expect(pool.counts()).toEqual({ ready: 2, starting: 1 });
    await pool.close();
    expect(engine.made.map(({ isRemoved }) => isRemoved)).toEqual([true, true]);
    expect(told.retired_).toEqual(["closed", "closed"]);
    const call = pool.create(aSpec(), never());
    await later(10_000);
    expect((await call).warm).toBe(false);
    expect(engine.asked).toHaveLength(4);
  });

  test("closed while a call waits for what is on its way: the call gets one of its own", async () => {
    const { pool } = aPool(1);
    await later(50);
    const call = pool.create(aSpec(), never());
    await pool.close();
    await later(100);
    expect((await call).warm).toBe(false);
  });

  test("an engine that makes none is asked ever more seldom", async () => {
    const engine = fakeSandboxes();
    engine.refusesStart = true;
    const { pool, told } = aPool(1, {}, engine);
    await later(120_000);
    expect(told.failures).toBeGreaterThan(4);
    expect(told.failures).toBeLessThan(9);
    await pool.close();
  });

  test("a name that has come to mean another image: the other is kept ready", async () => {
    let imageId = "sha256:1";
    const { pool } = aPool(1, { seeds: [{ min: 1, spec: async () => aSpec({}, imageId) }] });
    await later(1000);
    imageId = "sha256:2";
    const call = pool.create(aSpec({}, imageId), never());
    await later(2000);
    expect((await call).warm).toBe(false);
    expect(pool.counts().ready).toBe(1);
    expect((await pool.create(aSpec({}, imageId), never())).warm).toBe(true);
    await pool.close();
  });

  test("what cannot be looked up at first is looked up again", async () => {
    let isThere = false;
    const spec = async (): Promise<SandboxSpec> => {
      if (!isThere) throw new ExecutorError("image", "not built");
      return aSpec();
    };
    const { pool, told } = aPool(1, { seeds: [{ min: 1, spec }] });
    await later(1000);
    isThere = true;
    await later(31_000);
    expect(pool.counts().ready).toBe(1);
    expect(told.failures).toBe(1);
    await pool.close();
  });
});
