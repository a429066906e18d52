import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endsUnsent } from "../../../src/loops/ends-unsent.ts";
import type { OutboxRow } from "../../../src/model/outbox.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const keyOf = (taskId: string) => ({ tenantId: "acme", taskId });
const row = (taskId: string | null): OutboxRow => ({
  ...{ id: 1, kind: "result", headers: {}, value: Buffer.alloc(0), createdAt: 0 },
  key: taskId === null ? null : keyOf(taskId),
});

/** Whether it has resolved by now. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  let over = false;
  void wait.then(() => {
    over = true;
  });
  await vi.advanceTimersByTimeAsync(0);
  return over;
}

test("an end waits until its own result was sent, and a moment more", async () => {
  const ends = endsUnsent();
  const [first, second] = [ends.untilSent(keyOf("t-1")), ends.untilSent(keyOf("t-2"))];
  expect(await isOver(first)).toBe(false);
  ends.sent([row(null), row("t-3"), row("t-1")]);
  expect(await isOver(first)).toBe(false);
  await vi.advanceTimersByTimeAsync(5);
  expect(await isOver(first)).toBe(true);
  expect(await isOver(second)).toBe(false);
  expect(vi.getTimerCount()).toBe(1);
});

test("an end waits no longer than 50 ms for a transport that sends nothing", async () => {
  const ends = endsUnsent();
  const wait = ends.untilSent(keyOf("t-1"));
  await vi.advanceTimersByTimeAsync(49);
  expect(await isOver(wait)).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await isOver(wait)).toBe(true);
  ends.sent([row("t-1")]);
});

test("one task that ends twice waits for each end by itself", async () => {
  const ends = endsUnsent();
  const [before, after] = [ends.untilSent(keyOf("t-1")), ends.untilSent(keyOf("t-1"))];
  ends.sent([row("t-1")]);
  await vi.advanceTimersByTimeAsync(5);
  expect(await isOver(after)).toBe(true);
  expect(await isOver(before)).toBe(false);
  await vi.advanceTimersByTimeAsync(50);
  expect(await isOver(before)).toBe(true);
});
