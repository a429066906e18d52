import { describe, expect, test } from "vitest";
import { runtimeTraits } from "../../../src/adapters/docker/runtimes.ts";
import type { Check } from "../../../src/app/probe.ts";
import { probes } from "../../../src/app/probes.ts";
import type { Result, ResultMetrics, ResultOutput } from "../../../src/model/result.ts";
import { aResult } from "../../support/samples.ts";

const graceMs = 1000;
const checksUnder = (runtime: string): ReadonlyMap<string, Check> =>
  new Map(
    probes(graceMs, runtimeTraits(runtime)).flatMap((probe) =>
      probe.checks.map((check) => [check.name, check] as const),
    ),
  );
const [underRunc, underGvisor] = [checksUnder("runc"), checksUnder("runsc")];

function check(name: string, checks = underRunc): Check {
  const found = checks.get(name);
  if (found === undefined) throw new Error(`no probe looks at ${name}`);
  return found;
}

const ended = (
  reason: Result["reason"],
  metrics: Partial<ResultMetrics> = {},
  output: Partial<ResultOutput> = {},
  rest: Partial<Result> = {},
): Result =>
  aResult({
    reason,
    ...rest,
    metrics: { ...aResult().metrics, ...metrics },
    output: { ...aResult().output, ...output },
  });

const artifact = (path: string): ResultOutput["artifacts"][number] => ({
  path,
  size_bytes: 5,
  sha256: "0".repeat(64),
  mime: "text/plain",
  url: "",
  secrets: [],
});

test.each<[string, Result]>([
  ["wall time", ended("timeout", { run_ms: 2003 })],
  ["memory", ended("oom", { memory_peak_bytes: 60e6 })],
  ["memory", ended("oom", { memory_peak_bytes: null })],
  ["processes", ended("pids_limit", { pids_peak: 16 })],
  ["disk bytes", ended("disk_full")],
  ["disk inodes", ended("disk_full")],
  ["stored output", ended("ok", {}, { truncated: true, stdout_bytes: 4_194_304 })],
  ["artifacts", ended("output_limit", {}, { artifacts: [artifact("a")] }, { exit_code: 0 })],
  ["CPU quota", ended("ok", { run_ms: 1500, cpu_ms: 380 })],
  ["CPU quota", ended("ok", { run_ms: 1800, cpu_ms: null }, { stdout: "270\n230\n" })],
])("%s holds where the limit was met", (name, result) => {
  expect(check(name).look(result).holds).toBe(true);
});

test.each<[string, string, Result]>([
  ["wall time", "a task that was let run", ended("ok", { run_ms: 60_000 })],
  ["wall time", "a task that ended long after its deadline", ended("timeout", { run_ms: 4500 })],
  ["wall time", "a task that was ended before it", ended("timeout", { run_ms: 400 })],
  ["memory", "a task that the wall time ended", ended("timeout")],
  ["memory", "a peak above the cgroup's limit", ended("oom", { memory_peak_bytes: 2 ** 31 })],
  ["processes", "all of them", ended("timeout", { pids_peak: 64 })],
  ["processes", "more than the limit", ended("pids_limit", { pids_peak: 17 })],
  ["disk bytes", "everything written", ended("ok")],
  ["disk bytes", "another reason", ended("oom")],
  ["disk inodes", "all files made", ended("ok")],
  ["stored output", "all of it stored", ended("ok", {}, { truncated: false, stdout_bytes: 4_194_304 })],
  ["stored output", "a wrong count", ended("ok", {}, { truncated: true, stdout_bytes: 4_194_303 })],
  ["artifacts", "everything kept", ended("ok", {}, { artifacts: [artifact("a"), artifact("hole")] })],
  ["artifacts", "nothing kept", ended("output_limit", {}, { artifacts: [] }, { exit_code: 0 })],
  ["CPU quota", "both CPUs", ended("ok", { run_ms: 1500, cpu_ms: 3000 })],
  ["CPU quota", "a quarter more than the share", ended("ok", { run_ms: 1500, cpu_ms: 520 })],
  [
    "CPU quota",
    "no figure, and loops that had more",
    ended("ok", { run_ms: 1600, cpu_ms: null }, { stdout: "500\n500\n" }),
  ],
  [
    "CPU quota",
    "no figure, and one loop that is silent",
    ended("ok", { run_ms: 1500, cpu_ms: null }, { stdout: "100\n" }),
  ],
  [
    "CPU quota",
    "no figure, and loops that said no number",
    ended("ok", { run_ms: 1500, cpu_ms: null }, { stdout: "a\nb\n" }),
  ],
])("%s does not hold with %s", (name, _weakness, result) => {
  expect(check(name).look(result).holds).toBe(false);
});

test("under gVisor everything is tried too, and only what it is known not to give is no failure", () => {
  // Its cgroups inside are its own.
  expect([...underGvisor.keys()]).toEqual([...underRunc.keys()].filter((name) => name !== "cgroup limits"));
  expect([...underRunc.values()].filter(({ otherwise }) => otherwise !== "fail")).toEqual([]);
  expect([...underGvisor.values()].filter(({ otherwise }) => otherwise !== "fail").map(({ name }) => name)).toEqual([
    "disk inodes",
  ]);
  expect(check("disk inodes", underGvisor).look(ended("ok")).holds).toBe(false);
  expect(check("system call filter", underGvisor).advice).toContain("--oci-seccomp");
});

describe("the walls", () => {
  const sound: Readonly<Record<string, string>> = {
    root: "Read-only file system",
    network: "lo",
    user: "4711:4711",
    NoNewPrivs: "1",
    CapInh: "0000000000000000",
    CapPrm: "0000000000000000",
    CapEff: "0000000000000000",
    CapBnd: "0000000000000000",
    CapAmb: "[none]",
    Seccomp: "2",
    namespace: "refused",
  };
  const names = [
    "read-only root",
    "no network",
    "not root",
    "no new privileges",
    "no capabilities",
    "system call filter",
  ];
  const printed = (lines: readonly string[]): Result =>
    ended("ok", {}, { stdout: lines.map((one) => `${one}\n`).join("") });
  const lines = Object.entries(sound).map(([name, value]) => `${name}=${value}`);
  const fallen = (result: Result): readonly string[] => names.filter((name) => !check(name).look(result).holds);

  test("all stand where every try was refused", () => {
    expect(fallen(printed(lines))).toEqual([]);
  });

  test.each<[string, string, string]>([
    ["root", "written below /etc", "read-only root"],
    ["root", "Permission denied", "read-only root"],
    ["network", "eth0 lo", "no network"],
    ["user", "0:0", "not root"],
    ["user", "4711:0", "not root"],
    ["NoNewPrivs", "0", "no new privileges"],
    ["CapBnd", "00000000a80425fb", "no capabilities"],
    ["CapEff", "0000000000000400", "no capabilities"],
    ["CapAmb", "chown", "no capabilities"],
    ["Seccomp", "0", "system call filter"],
    ["namespace", "made", "system call filter"],
  ])("%s=%s brings its wall down, and that one alone", (name, value, wall) => {
    const weakened = Object.entries({ ...sound, [name]: value }).map(([key, found]) => `${key}=${found}`);
    expect(fallen(printed(weakened))).toEqual([wall]);
  });

  test("a kernel without ambient capabilities gives none", () => {
    const unsupported = Object.entries({ ...sound, CapAmb: "[unsupported]" }).map((pair) => pair.join("="));
    expect(fallen(printed(unsupported))).toEqual([]);
  });

  test("a second try that got through brings its wall down beside the refused one", () => {
    expect(fallen(printed([...lines, "network=connected", "root=written below /var"]))).toEqual([
      "read-only root",
      "no network",
    ]);
  });

  test("none stands by silence", () => {
    expect(fallen(printed([]))).toEqual(names);
  });
});

describe("the kernel and the way out", () => {
  const names: Readonly<Record<string, string>> = {
    calls: "kernel calls",
    sockets: "kernel sockets",
    abi: "second ABI",
    settings: "kernel settings",
    memory: "kernel memory",
    devices: "devices",
    host: "things of the host",
    ulimits: "ulimits",
    shm: "ulimits",
    cgroup: "cgroup limits",
    programs: "programs in /output",
  };
  const walls = [...new Set(Object.values(names))];
  const fallen = (lines: readonly string[]): readonly string[] => {
    const result = ended("ok", {}, { stdout: lines.map((one) => `${one}\n`).join("") });
    return walls.filter((name) => !check(name).look(result).holds);
  };
  const sound = Object.keys(names).map((key) => `${key}=none`);

  test("hold where nothing got through", () => {
    expect(fallen(sound)).toEqual([]);
  });

  test.each(Object.entries(names))("a thing of %s that got through brings %s down, and that one alone", (key, wall) => {
    expect(fallen(sound.map((line) => (line === `${key}=none` ? `${key}=something` : line)))).toEqual([wall]);
  });

  test("none holds by silence, nor on a machine whose calls are not known", () => {
    expect(fallen([])).toEqual(walls);
    expect(fallen(["machine=riscv64"])).toEqual(walls);
  });
});
