import { expect, test } from "vitest";
import type { EngineFacts } from "../../../src/adapters/docker/engine-facts.ts";
import { engineFindings, imageFindings } from "../../../src/app/engine-findings.ts";

const soundFacts: EngineFacts = {
  version: "20.10.24+dfsg1",
  apiVersion: "1.41",
  runtimes: ["io.containerd.runc.v2", "runc", "runsc"],
  kernel: "6.1.0-13-amd64",
  architecture: "x86_64",
  cgroupVersion: "2",
  storageDriver: "overlay2",
  hasAppArmor: true,
  hasSeccomp: true,
  canLimit: { memory: true, swap: true, cpu: true, pids: true },
};

const verdicts = (facts: EngineFacts): Readonly<Record<string, string>> =>
  Object.fromEntries(engineFindings(facts, ["runc"]).map(({ name, verdict }) => [name, verdict]));

test("an engine that has everything is all right, and a runtime that is not allowed is named", () => {
  expect(new Set(Object.values(verdicts(soundFacts)))).toEqual(new Set(["ok"]));
  expect(engineFindings(soundFacts, ["runc"])).toContainEqual(
    expect.objectContaining({ name: "runtime runc", seen: "there; not allowed, but there: runsc" }),
  );
});

test.each<[string, readonly string[], readonly string[], "ok" | "warn" | "fail", RegExp | null]>([
  ["the first of them is missing", ["runc"], ["runsc", "runc"], "fail", /--oci-seccomp.*TOOL_EXECUTOR_RUNTIMES/],
  ["another one is missing", ["runc"], ["runc", "runsc"], "warn", /--oci-seccomp.*TOOL_EXECUTOR_RUNTIMES/],
  ["both are there", ["runc", "runsc"], ["runc", "runsc"], "ok", null],
  ["gVisor is there under a name of its own", ["runc", "runsc-debug"], ["runc", "runsc-debug"], "ok", null],
  ["Kata is there", ["kata", "runc"], ["runc", "kata"], "warn", /nothing else has been tested/],
  ["one that nobody knows is there", ["crun", "runc"], ["runc", "crun"], "warn", /nothing else has been tested/],
])("of the allowed runtimes %s", (_name, there, allowed, verdict, advice) => {
  const rows = engineFindings({ ...soundFacts, runtimes: there }, allowed).filter(({ name }) => /^runtime /.test(name));
  expect(rows.map(({ name }) => name)).toEqual(allowed.map((name) => `runtime ${name}`));
  const odd = allowed.find((name) => name !== "runc");
  const row = rows.find(({ name }) => name === `runtime ${odd}`);
  expect(row?.verdict).toBe(verdict);
  if (advice === null) expect(row?.advice).toBeNull();
  else expect(row?.advice).toMatch(advice);
});

test.each<[string, Partial<EngineFacts>, string, "warn" | "fail"]>([
  ["an API before 1.41", { apiVersion: "1.40" }, "engine", "fail"],
  ["an API that is no number", { apiVersion: "unknown" }, "engine", "fail"],
  ["an engine without runc", { runtimes: ["runsc"] }, "runtime runc", "fail"],
  ["an old kernel", { kernel: "4.18.0-553.el8.x86_64" }, "kernel", "warn"],
  ["a machine without a filter of ours", { architecture: "riscv64" }, "architecture", "fail"],
  ["no memory controller", { canLimit: { ...soundFacts.canLimit, memory: false } }, "cgroups", "fail"],
  ["no pids controller", { canLimit: { ...soundFacts.canLimit, pids: false } }, "cgroups", "fail"],
  ["no CPU quota", { canLimit: { ...soundFacts.canLimit, cpu: false } }, "cgroups", "fail"],
  ["no swap accounting", { canLimit: { ...soundFacts.canLimit, swap: false } }, "swap accounting", "warn"],
  ["a driver that copies", { storageDriver: "vfs" }, "storage driver", "warn"],
  ["no seccomp", { hasSeccomp: false }, "seccomp", "fail"],
  ["no AppArmor", { hasAppArmor: false }, "AppArmor", "warn"],
])("%s shows, with advice", (_name, weakness, row, verdict) => {
  const facts = { ...soundFacts, ...weakness };
  expect(verdicts(facts)).toEqual({ ...verdicts(soundFacts), [row]: verdict });
  expect(engineFindings(facts, ["runc"]).find(({ name }) => name === row)?.advice).toMatch(/\w/);
});

test.each(["4.19.0", "5.10.0-28-amd64", "6.18.44-fc"])("kernel %s is new enough", (kernel) => {
  expect(verdicts({ ...soundFacts, kernel }).kernel).toBe("ok");
});

test("an image that is not built fails, one that is out of date warns", () => {
  const built = { name: "shell", id: "sha256:1", reference: "tool-executor/shell:1", sizeBytes: 1, createdAt: 1 };
  const findings = imageFindings([
    { ...built, upToDate: true },
    { ...built, name: "python", upToDate: false },
    { ...built, name: "node", id: null, reference: null, upToDate: false },
  ]);
  expect(findings.map(({ verdict, advice }) => [verdict, advice])).toEqual([
    ["ok", null],
    ["warn", "toolx images build python"],
    ["fail", "toolx images build node"],
  ]);
});
