import { expect, test } from "vitest";
import { mayBecome, type TaskState } from "../../../src/model/task.ts";

const states: readonly TaskState[] = ["RECEIVED", "QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING", "FINISHED"];

test("a finished task never changes", () => {
  for (const to of states) expect(mayBecome("FINISHED", to)).toBe(false);
});

test("every unfinished task may end", () => {
  for (const from of states.slice(0, -1)) expect(mayBecome(from, "FINISHED")).toBe(true);
});

test("a leased task may be queued again, a queued one may not skip the lease", () => {
  for (const from of ["LEASED", "STARTING", "RUNNING", "COLLECTING"] as const)
    expect(mayBecome(from, "QUEUED")).toBe(true);
  expect(mayBecome("QUEUED", "STARTING")).toBe(false);
  expect(mayBecome("QUEUED", "RUNNING")).toBe(false);
});
