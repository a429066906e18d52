import { describe, expect, test } from "vitest";
import {
  conclude,
  concludeRefusal,
  emptyOutput,
  exitCodeOf,
  type Outcome,
  reasonFor,
  shownArtifacts,
} from "../../../src/executor/conclude.ts";
import type { Exit } from "../../../src/model/exit.ts";
import { ExecutorError, type Reason } from "../../../src/model/failure.ts";
import { aTask } from "../../support/samples.ts";

const anExit = (rest: Partial<Exit> = {}): Exit => ({
  code: 0,
  signal: null,
  cause: "exited",
  runUs: 1000,
  cpuUs: 500,
  memoryPeakBytes: 1024,
  oomKills: 0,
  pidsPeak: 1,
  pidsCapped: false,
  diskFull: [],
  stdoutBytes: 0,
  stderrBytes: 0,
  source: "cgroup",
  ...rest,
});

const anOutcome = (exit: Partial<Exit> | null, rest: Partial<Outcome> = {}): Outcome => ({
  exit: exit === null ? null : anExit(exit),
  gone: null,
  overdue: false,
  cancelled: false,
  outputLimit: false,
  refusedArtifact: null,
  resultProblem: null,
  inputDiskFull: false,
  ...rest,
});

const killed = { code: null, signal: "SIGKILL" };

describe("why a task ended", () => {
  test.each<[string, Outcome, Reason]>([
    ["exit 0 is success", anOutcome({}), "ok"],
    ["any other exit is the task's failure", anOutcome({ code: 3 }), "nonzero_exit"],
    ["exit 137 alone is no proof of an OOM", anOutcome({ code: 137 }), "nonzero_exit"],
    ["neither is SIGKILL", anOutcome(killed), "nonzero_exit"],
    ["exit 143 alone is no cancel", anOutcome({ code: 143 }), "nonzero_exit"],
    ["the kernel's counter is proof", anOutcome({ ...killed, oomKills: 1 }), "oom"],
    ["a child that was killed is no failure of a task that succeeds", anOutcome({ oomKills: 1 }), "ok"],
    ["sandbox-init's own accounting", anOutcome({ ...killed, cause: "memory" }), "oom"],
    [
      "a sandbox that the kernel killed",
      anOutcome(null, { gone: { oomKilled: true, exitCode: 137, diagnosis: "" } }),
      "oom",
    ],
    ["a sandbox that went away is the task's failure", anOutcome(null), "nonzero_exit"],
    ["the deadline inside", anOutcome({ ...killed, cause: "deadline" }), "timeout"],
    ["the deadline outside", anOutcome(null, { overdue: true }), "timeout"],
    ["a task that ends well while its deadline passes", anOutcome({ cause: "deadline" }), "timeout"],
    ["timeout before oom", anOutcome({ ...killed, cause: "deadline", oomKills: 2 }), "timeout"],
    ["a cancel that ended the task", anOutcome({ ...killed, cause: "signal" }, { cancelled: true }), "cancelled"],
    ["a cancel that came too late", anOutcome({}, { cancelled: true }), "ok"],
    ["a cancel of a sandbox that no longer answered", anOutcome(null, { cancelled: true }), "cancelled"],
    ["cancel before timeout", anOutcome({ ...killed, cause: "deadline" }, { cancelled: true }), "cancelled"],
    ["processes at the cap and a failure", anOutcome({ code: 1, pidsCapped: true }), "pids_limit"],
    ["processes at the cap and success", anOutcome({ pidsCapped: true }), "ok"],
    ["a full disk and a failure", anOutcome({ code: 1, diskFull: ["/tmp"] }), "disk_full"],
    ["a full disk and success", anOutcome({ diskFull: ["/tmp"] }), "ok"],
    ["input that did not fit", anOutcome(null, { inputDiskFull: true }), "disk_full"],
    ["pids before disk", anOutcome({ code: 1, pidsCapped: true, diskFull: ["/tmp"] }), "pids_limit"],
    ["too much under /output", anOutcome({}, { outputLimit: true }), "output_limit"],
    ["a bad result.json", anOutcome({}, { resultProblem: "is no JSON" }), "result_invalid"],
    ["a bad result.json of a failed task", anOutcome({ code: 1 }, { resultProblem: "is no JSON" }), "nonzero_exit"],
  ])("%s", (_name, outcome, reason) => {
    expect(reasonFor(outcome)).toBe(reason);
  });
});

const answer = {
  attempt: 1,
  output: emptyOutput,
  sandbox: null,
  timings: { queueMs: 1, startMs: 2, durationMs: 3 },
};

test("a result says what was exceeded, by which figure, and what to do", () => {
  const task = aTask();
  const result = conclude(task, anOutcome({ ...killed, cause: "memory" }), null, answer);
  expect(result).toMatchObject({ status: "failed", reason: "oom", signal: "SIGKILL", exit_code: null });
  expect(result.error?.message).toContain(`memory_mb ${task.limits.memory_mb}`);
  expect(result.error?.hint).toContain("limits.memory_mb");
});

test("the value is answered with success only", () => {
  expect(conclude(aTask(), anOutcome({}), { a: 1 }, answer).output.value).toEqual({ a: 1 });
  expect(conclude(aTask(), anOutcome({ code: 1 }), { a: 1 }, answer).output.value).toBeNull();
});

test("a figure that nobody has is null", () => {
  const { metrics } = conclude(
    aTask(),
    anOutcome({ cpuUs: null, memoryPeakBytes: null, pidsPeak: null }),
    null,
    answer,
  );
  expect(metrics).toMatchObject({ cpu_ms: null, memory_peak_bytes: null, pids_peak: null });
});

test("a signal exits as a shell reports it", () => {
  expect(exitCodeOf(conclude(aTask(), anOutcome({ code: null, signal: "SIGSEGV" }), null, answer))).toBe(139);
});

test("a refused request is answered with what of it can be named", () => {
  const refusal = concludeRefusal({ task_id: "t-1", tool_name: 7 }, new ExecutorError("validation", "tool_name is 7"));
  expect(refusal).toMatchObject({
    task_id: "t-1",
    tool_name: null,
    tenant_id: "default",
    reason: "validation",
    attempt: 0,
  });
});

describe("what is shown at once", () => {
  const artifact = (path: string, mime: string) => ({
    ...{ path, mime, size_bytes: 1, sha256: "0".repeat(64), url: path },
    secrets: [],
  });
  const shown = (mime: string, artifact: string) => ({ mime, artifact });

  test("is what the tool names of the files that are there, then other images, 32 in all", () => {
    const artifacts = [
      artifact("b.png", "image/png"),
      artifact("a.svg", "image/svg+xml"),
      artifact("table.md", "text/markdown"),
      artifact("data.csv", "text/csv"),
    ];
    const noted = [shown("text/markdown", "table.md"), shown("image/png", "gone.png"), shown("image/png", "b.png")];
    expect(shownArtifacts(artifacts, noted)).toEqual([
      shown("text/markdown", "table.md"),
      shown("image/png", "b.png"),
      shown("image/svg+xml", "a.svg"),
    ]);
    const many = Array.from({ length: 40 }, (_, index) => artifact(`${index}.png`, "image/png"));
    expect(shownArtifacts(many, [])).toHaveLength(32);
  });
});
