import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { deadline } from "../../../src/model/deadline.ts";

describe("a deadline", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const reason = new Error("too late");

  test("aborts with its own reason when the time is up, not before", () => {
    using limit = deadline(new AbortController().signal, 100, reason);
    vi.advanceTimersByTime(99);
    expect(limit.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(limit.signal.reason).toBe(reason);
  });

  test("aborts with the parent's reason when the parent does, and keeps no timer", () => {
    const parent = new AbortController();
    using limit = deadline(parent.signal, 100, reason);
    parent.abort("asked");
    expect(limit.signal.reason).toBe("asked");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is over at once under a parent that is", () => {
    using limit = deadline(AbortSignal.abort("asked"), 100, reason);
    expect(limit.signal.reason).toBe("asked");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("keeps its first reason", () => {
    const parent = new AbortController();
    using limit = deadline(parent.signal, 100, reason);
    vi.advanceTimersByTime(100);
    parent.abort("asked");
    expect(limit.signal.reason).toBe(reason);
  });

  test("lets go of the timer and the parent on dispose", () => {
    const parent = new AbortController();
    const limit = deadline(parent.signal, 100, reason);
    limit[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(parent.signal, "abort")).toEqual([]);
    parent.abort("asked");
    expect(limit.signal.aborted).toBe(false);
  });
});
