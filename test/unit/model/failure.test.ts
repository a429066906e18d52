import { describe, expect, test } from "vitest";
import { cliExitCode, ExecutorError, type Reason, reasonTable, type Status } from "../../../src/model/failure.ts";

// The table of docs/failures.md, written out a second time on purpose: a change of the contract has to be made in both.
const rows: readonly [Reason, Status | null, boolean, number, number | "task", boolean][] = [
  ["ok", "success", false, 200, 0, false],
  ["nonzero_exit", "failed", false, 200, "task", false],
  ["timeout", "failed", false, 200, 124, false],
  ["oom", "failed", false, 200, 137, false],
  ["pids_limit", "failed", false, 200, "task", false],
  ["disk_full", "failed", false, 200, "task", false],
  ["output_limit", "failed", false, 200, "task", false],
  ["result_invalid", "failed", false, 200, 125, false],
  ["cancelled", "failed", false, 200, 130, false],
  ["expired", "failed", false, 200, 125, false],
  ["validation", "failed", false, 422, 2, false],
  ["unknown_tool", "failed", false, 422, 2, false],
  ["policy_denied", "failed", false, 403, 2, false],
  ["conflict", null, false, 409, 2, true],
  ["quota", "failed", true, 429, 125, false],
  ["image", "failed", true, 200, 125, true],
  ["sandbox", "failed", true, 200, 125, true],
  ["worker_lost", "failed", true, 200, 125, false],
  ["internal", "failed", true, 500, 125, true],
];

describe("the reason table", () => {
  test.each(rows)("%s", (reason, status, retryable, httpStatus, cliExit, deadLetter) => {
    expect(reasonTable[reason]).toEqual({ status, retryable, httpStatus, cliExit, deadLetter });
  });

  test("has no row that is not tested", () => {
    expect(Object.keys(reasonTable).sort()).toEqual(rows.map(([reason]) => reason).sort());
  });
});

test.each<[string, Reason, number | null, number]>([
  ["a task's own exit code is the process's", "nonzero_exit", 3, 3],
  ["a failed task without a code exits 1", "disk_full", null, 1],
  ["a task that met a limit and exited 0 still failed", "output_limit", 0, 1],
  ["a fixed code wins over the task's", "timeout", 3, 124],
  ["success is 0", "ok", 0, 0],
])("%s", (_name, reason, taskExit, exitCode) => {
  expect(cliExitCode(reason, taskExit)).toBe(exitCode);
});

describe("an ExecutorError", () => {
  test("is one, whichever copy of its module made it", async () => {
    const another = new URL("../../../src/model/failure.ts?copy", import.meta.url).href;
    const copy: typeof import("../../../src/model/failure.ts") = await import(another);
    expect(copy.ExecutorError).not.toBe(ExecutorError);
    const error = new copy.ExecutorError("validation", "text must be short");
    expect(error).toBeInstanceOf(ExecutorError);
    expect(error).toBeInstanceOf(Error);
    expect(new ExecutorError("validation", "text must be short")).toBeInstanceOf(copy.ExecutorError);
  });

  test("is none of a narrower kind, and nothing else is one", () => {
    class Narrower extends ExecutorError {}
    expect(new Narrower("internal", "x")).toBeInstanceOf(Narrower);
    expect(new Narrower("internal", "x")).toBeInstanceOf(ExecutorError);
    expect(new ExecutorError("internal", "x")).not.toBeInstanceOf(Narrower);
    for (const other of [new Error("x"), { code: "internal" }, null, undefined, "x"])
      expect(other).not.toBeInstanceOf(ExecutorError);
  });
});
