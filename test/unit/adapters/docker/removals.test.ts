import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Engine } from "../../../../src/adapters/docker/engine.ts";
import { removals } from "../../../../src/adapters/docker/removals.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";

/** An engine that answers the first removals as told, and every further one well. */
function engineAnswering(...answers: readonly ("gone" | "no answer")[]) {
  const asked: string[] = [];
  const remove: Engine["remove"] = async (name) => {
    asked.push(name);
    if (answers[asked.length - 1] === "no answer") throw new ExecutorError("sandbox", "no answer");
  };
  const unused = (): never => {
    throw new Error("not for this test");
  };
  const calls = { create: unused, attach: unused, start: unused, update: unused, inspect: unused, kill: unused };
  const engine: Engine = { ...calls, toldOom: unused, remove };
  return { engine, asked };
}

describe("removals", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("are over when the engine says that it is gone", async () => {
    const { engine, asked } = engineAnswering("gone");
    await removals(engine).remove("a");
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toEqual(["a"]);
  });

  test("are tried again until the engine answers, and fail for nobody", async () => {
    const { engine, asked } = engineAnswering("no answer", "no answer", "gone");
    await removals(engine).remove("a");
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toEqual(["a", "a", "a"]);
  });

  test("look again for what an unanswered create may make later", async () => {
    const { engine, asked } = engineAnswering("gone", "gone");
    await removals(engine).takeBack("late");
    await vi.advanceTimersByTimeAsync(130_000);
    expect(asked.length).toBeGreaterThan(5);
    const settled = asked.length;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked.length).toBe(settled);
  });

  test("are tried a last time on dispose, and not after it", async () => {
    const { engine, asked } = engineAnswering("no answer", "no answer");
    const taken = removals(engine);
    await taken.remove("a");
    await taken[Symbol.asyncDispose]();
    await vi.advanceTimersByTimeAsync(300_000);
    expect(asked).toEqual(["a", "a"]);
  });
});
