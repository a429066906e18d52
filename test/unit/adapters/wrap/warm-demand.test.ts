import { expect, test } from "vitest";
import { demand, rememberedMs } from "../../../../src/adapters/wrap/warm-demand.ts";

test.each<[string, readonly number[], number, number]>([
  ["what was asked for once is not worth keeping", [0], 0, 0],
  ["what is asked for now and then is worth one", [0, 60_000, 120_000], 120_000, 1],
  ["a burst is remembered as it was", [0, 0, 0, 1999], 1999, 4],
  ["also after it is over", [0, 0, 0, 100_000], 100_000, 3],
  ["two bursts do not add up", [0, 0, 50_000, 50_000, 50_000], 60_000, 3],
  ["none is remembered for ever", [0, 0, 0, 0], rememberedMs, 0],
])("%s", (_name, askedAt, now, level) => {
  const asked = demand();
  for (const at of askedAt) asked.ask(at);
  expect(asked.level(now)).toBe(level);
});

test("what is no longer remembered is forgotten", () => {
  const asked = demand();
  asked.ask(500);
  expect([asked.isForgotten(rememberedMs - 1), asked.isForgotten(rememberedMs + 1000)]).toEqual([false, true]);
});
