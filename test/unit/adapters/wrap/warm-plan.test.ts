import { describe, expect, test } from "vitest";
import {
  nextStep,
  type WarmBounds,
  type WarmKind,
  type WarmState,
  wantedSizes,
} from "../../../../src/adapters/wrap/warm-plan.ts";

const bounds: WarmBounds = { maxCount: 10, memoryBytes: 1000, maxAgeMs: 100_000 };
const now = 1_000_000;

/** A kind with so many ready, of an age; all of it as one of these differs. */
const aKind = (differences: Partial<WarmKind> & { readonly readyAges?: readonly number[] } = {}): WarmKind => {
  const { readyAges = [], ...rest } = differences;
  const ready = readyAges.map((ageMs) => ({ readyAt: now - ageMs, checkedAt: now }));
  return { key: "a", min: 0, level: 0, memoryBytes: 50, comingCount: 0, retryAt: 0, ready, ...rest };
};

const aState = (differences: Partial<WarmState> = {}): WarmState => ({
  kinds: [],
  isStarting: false,
  isChecking: false,
  busyCount: 0,
  coldCount: 0,
  lastTakenAt: now - 60_000,
  shortSince: now,
  lastStart: { endedAt: now - 60_000, tookMs: 300 },
  ...differences,
});

test.each<[string, readonly WarmKind[], Partial<WarmBounds>, readonly number[]]>([
  ["what is asked for", [aKind({ level: 3 })], {}, [3]],
  ["what is kept in any case", [aKind({ min: 2 })], {}, [2]],
  ["the larger of both", [aKind({ min: 2, level: 3 })], {}, [3]],
  ["no more than there may be", [aKind({ level: 30 })], {}, [10]],
  ["no more than memory allows", [aKind({ level: 30 })], { memoryBytes: 199 }, [3]],
  ["none where one is too large", [aKind({ level: 1, memoryBytes: 2000 }), aKind({ key: "b", level: 1 })], {}, [0, 1]],
  ["of two that want all, each half", [aKind({ level: 30 }), aKind({ key: "b", level: 40 })], {}, [5, 5]],
  ["a small one in full beside a large one", [aKind({ level: 30 }), aKind({ key: "b", level: 2 })], {}, [8, 2]],
  [
    "what is kept in any case before what is asked for",
    [aKind({ level: 30 }), aKind({ key: "b", min: 2 })],
    { maxCount: 3 },
    [1, 2],
  ],
  [
    "equal ones in an order of their own, whoever asked last",
    [aKind({ key: "b", level: 1 }), aKind({ level: 1 })],
    { maxCount: 1 },
    [0, 1],
  ],
])("as many are wanted as: %s", (_name, kinds, differences, sizes) => {
  const wanted = wantedSizes(kinds, { ...bounds, ...differences });
  expect(kinds.map(({ key }) => wanted.get(key))).toEqual(sizes);
});

describe("the next step", () => {
  const short = [aKind({ level: 2, readyAges: [0] })];

  test.each<[string, Partial<WarmState>]>([
    ["with nothing else to do", {}],
    [
      "while tasks run, but the last start has been over for as long as it took",
      {
        busyCount: 3,
        lastStart: { endedAt: now - 300, tookMs: 300 },
      },
    ],
    ["while nothing runs, right after the last start", { lastStart: { endedAt: now, tookMs: 300 } }],
    [
      "once one has been missing for a second, whatever goes on",
      {
        busyCount: 3,
        coldCount: 3,
        lastTakenAt: now,
        lastStart: { endedAt: now, tookMs: 3000 },
        shortSince: now - 1000,
      },
    ],
  ])("starts one that is missing: %s", (_name, differences) => {
    expect(nextStep(aState({ kinds: short, ...differences }), bounds, now)).toEqual({ kind: "start", key: "a" });
  });

  test.each<[string, Partial<WarmState>, number]>([
    ["while another is being started", { isStarting: true }, 30_000],
    ["beside a call that waits for one of its own", { coldCount: 1 }, 1000],
    ["within 20 ms of one that was given away", { lastTakenAt: now }, 20],
    ["within 150 ms, while a task runs", { lastTakenAt: now, busyCount: 1 }, 150],
    [
      "sooner after the last than it took, while tasks run",
      {
        busyCount: 1,
        lastStart: { endedAt: now - 100, tookMs: 300 },
      },
      200,
    ],
    [
      "where starting one has failed, before its time",
      {
        kinds: [aKind({ level: 2, readyAges: [0], retryAt: now + 700 })],
      },
      700,
    ],
  ])("starts none %s", (_name, differences, waitMs) => {
    const step = nextStep(aState({ kinds: short, ...differences }), bounds, now);
    expect(step).toEqual({ kind: "wait", until: now + waitMs, isShort: true });
  });

  test("starts of that kind first which has fewest ready", () => {
    const kinds = [aKind({ level: 4, readyAges: [1, 1] }), aKind({ key: "b", level: 2, readyAges: [1] })];
    expect(nextStep(aState({ kinds }), bounds, now)).toEqual({ kind: "start", key: "b" });
  });

  test.each<[string, WarmKind, object]>([
    ["more than are wanted", aKind({ level: 1, readyAges: [2, 1] }), { kind: "retire", key: "a", why: "excess" }],
    [
      "one past its age, also where it is missed",
      aKind({ level: 2, readyAges: [100_000] }),
      {
        kind: "retire",
        key: "a",
        why: "aged",
      },
    ],
    [
      "one soon past its age, where there is what is wanted",
      aKind({ level: 2, readyAges: [95_000, 95_000] }),
      {
        kind: "retire",
        key: "a",
        why: "aged",
      },
    ],
  ])("takes down %s", (_name, kind, step) => {
    expect(nextStep(aState({ kinds: [kind] }), bounds, now)).toEqual(step);
  });

  test("keeps one soon past its age while another is missing", () => {
    const kinds = [aKind({ level: 2, readyAges: [95_000], comingCount: 0 })];
    expect(nextStep(aState({ kinds }), bounds, now)).toEqual({ kind: "start", key: "a" });
    expect(nextStep(aState({ kinds, isStarting: true }), bounds, now)).toMatchObject({ kind: "wait" });
  });

  test("asks each once a minute whether it still waits, one at a time", () => {
    const ready = [{ readyAt: now - 80_000, checkedAt: now - 60_000 }];
    const kinds = [aKind({ level: 1, ready })];
    expect(nextStep(aState({ kinds }), bounds, now)).toEqual({ kind: "check", key: "a" });
    expect(nextStep(aState({ kinds, isChecking: true }), bounds, now)).toMatchObject({ kind: "wait" });
  });

  test("has nothing to do for half a minute where all is as it should be", () => {
    const kinds = [aKind({ level: 1, readyAges: [0] })];
    expect(nextStep(aState({ kinds }), bounds, now)).toEqual({ kind: "wait", until: now + 30_000, isShort: false });
  });
});
