import { expect, test } from "vitest";
import { plainRuntimes, runtimeTraits, withKnownFigures } from "../../../../src/adapters/docker/runtimes.ts";
import type { Exit } from "../../../../src/model/exit.ts";

const exit: Exit = {
  code: 0,
  signal: null,
  cause: "exited",
  runUs: 1000,
  cpuUs: 900,
  memoryPeakBytes: 4096,
  oomKills: null,
  pidsPeak: 3,
  pidsCapped: false,
  diskFull: [],
  stdoutBytes: 0,
  stderrBytes: 0,
  source: "sampled",
};

test("what gVisor says of memory and CPU time is not passed on; what it says of processes is", () => {
  expect(withKnownFigures(exit, runtimeTraits("runsc"))).toEqual({ ...exit, cpuUs: null, memoryPeakBytes: null });
  expect(withKnownFigures(exit, runtimeTraits("runc"))).toEqual(exit);
});

test.each([1, 64, 4096])(
  "under gVisor the engine leaves room for two host threads a process and more (pids %i)",
  (pids) => {
    const { enginePids } = runtimeTraits("runsc");
    expect(enginePids(pids)).toBeGreaterThanOrEqual(2 * pids + 1024);
  },
);

test.each([
  ["runc", true],
  ["runsc", true],
  ["kata", false],
  ["crun", false],
  ["", false],
])("%s counts as tested: %s", (name, isTested) => {
  expect(runtimeTraits(name).isTested).toBe(isTested);
});

test("the engine's inner names are no runtimes to choose from", () => {
  expect(plainRuntimes(["io.containerd.runc.v2", "runc", "runsc"])).toEqual(["runc", "runsc"]);
});
