import { expect, test } from "vitest";
import { groupLag } from "../../../../src/adapters/kafka/lag.ts";

const own = { tools: [0, 1], control: [0] };

test("is what was fetched and is not acknowledged, over all partitions of a topic", () => {
  const lag = groupLag();
  lag.assigned(own);
  expect(Object.fromEntries(lag.byTopic())).toEqual({ tools: 0, control: 0 });
  lag.fetched("tools", 0, "10", "25");
  lag.fetched("tools", 1, "0", "5");
  expect(Object.fromEntries(lag.byTopic())).toEqual({ tools: 20, control: 0 });
  lag.acknowledged("tools", 0, "20");
  lag.acknowledged("tools", 1, "5");
  expect(Object.fromEntries(lag.byTopic())).toEqual({ tools: 5, control: 0 });
});

test("of a partition that is held it grows with what comes behind", () => {
  const lag = groupLag();
  lag.assigned(own);
  for (const end of ["11", "12", "40"]) lag.fetched("control", 0, "10", end);
  expect(lag.byTopic().get("control")).toBe(30);
});

test("is of its own partitions only: what another member has is that one's", () => {
  const lag = groupLag();
  lag.assigned(own);
  lag.fetched("tools", 0, "0", "7");
  lag.fetched("tools", 1, "0", "100");
  lag.assigned({ tools: [0] });
  // A batch that was under way.
  lag.fetched("control", 0, "0", "9");
  lag.acknowledged("tools", 1, "1");
  expect(Object.fromEntries(lag.byTopic())).toEqual({ tools: 7 });
  lag.assigned({});
  expect(lag.byTopic().size).toBe(0);
});

test("is exact beyond what a number holds, and never less than none", () => {
  const lag = groupLag();
  lag.assigned(own);
  lag.fetched("tools", 0, "9223372036854775800", "9223372036854775807");
  lag.fetched("tools", 1, "50", "20");
  expect(lag.byTopic().get("tools")).toBe(7);
});
