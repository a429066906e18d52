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

test("an engine that has everything is all right, and another runtime is named as not allowed yet", () => {
  expect(new Set(Object.values(verdicts(soundFacts)))).toEqual(new Set(["ok"]));
  expect(engineFindings(soundFacts, ["runc"])).toContainEqual(
    expect.objectContaining({ name: "runtime", seen: "runc; there too, not allowed yet: runsc" }),
  );
});

test.each<[string, Partial<EngineFacts>, string, "warn" | "fail"]>([
  ["an API before 1.41", { apiVersion: "1.40" }, "engine", "fail"],
  ["an API that is no number", { apiVersion: "unknown" }, "engine", "fail"],
  ["an engine without runc", { runtimes: ["runsc"] }, "runtime", "fail"],
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
