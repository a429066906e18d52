import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Finding } from "../../src/app/finding.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { weakEngine } from "../support/weak-engine.ts";

let toolx: Cli;
beforeAll(async () => {
  toolx = await openCli();
});
afterEach(async () => {
  expect(await toolx.leftovers()).toEqual([]);
});
afterAll(async () => {
  await toolx[Symbol.asyncDispose]();
});

const limits = [
  "wall time",
  "memory",
  "processes",
  "disk bytes",
  "disk inodes",
  "stored output",
  "artifacts",
  "CPU quota",
];
const walls = [
  "read-only root",
  "no network",
  "not root",
  "no new privileges",
  "no capabilities",
  "system call filter",
  "kernel calls",
  "kernel sockets",
  "second ABI",
  "kernel settings",
  "kernel memory",
  "devices",
  "things of the host",
  "ulimits",
  "programs in /output",
];

const runtimes = ["runc", "runsc"];
/** What the host is known not to have, and gVisor not to give. */
const known = ["AppArmor", "swap accounting", "runsc: disk inodes"];

test("doctor tries every limit and wall under both runtimes within 60 s, all hold here, and the user's tasks show none of it", async () => {
  const { code, stdout, tookMs } = await toolx.run(["doctor", "-o", "json"]);
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.filter(({ verdict }) => verdict === "fail" || verdict === "not_tried")).toEqual([]);
  const warned = findings.filter(({ verdict }) => verdict === "warn").map(({ name }) => name);
  expect(warned.filter((name) => !known.includes(name) && !/folder$/.test(name))).toEqual([]);
  const held = findings.filter(({ verdict }) => verdict === "ok").map(({ name }) => name);
  const tried = runtimes.flatMap((runtime) => [...limits, ...walls].map((name) => `${runtime}: ${name}`));
  expect([...held, ...warned]).toEqual(
    expect.arrayContaining(["engine", "runtime runc", "runtime runsc", ...tried, "runc: cgroup limits"]),
  );
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(60_000);
  expect((await toolx.run(["ps", "-a", "-o", "json"])).stdout).toBe("");
});

test("a runtime that the engine lacks is a warning with what to do, and its limits are not tried", async () => {
  const env = { TOOL_EXECUTOR_RUNTIMES: "runc,kata" };
  const { code, stdout } = await toolx.run(["doctor", "-o", "json"], { env });
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.find(({ name }) => name === "runtime kata")).toMatchObject({
    verdict: "warn",
    seen: "the engine does not have it",
    advice: expect.stringContaining("Kata"),
  });
  const untried = findings.filter(({ verdict }) => verdict === "not_tried").map(({ name }) => name);
  expect(untried).toEqual([...limits, ...walls, "cgroup limits"].map((name) => `kata: ${name}`));
  expect(code).toBe(0);
});

test("without an engine doctor says so with advice, tries nothing in it, and exits 1", async () => {
  const env = { DOCKER_HOST: `unix://${toolx.workDir}/dead.sock` };
  const { code, stdout } = await toolx.run(["doctor", "-o", "json"], { env });
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.filter(({ verdict }) => verdict === "fail")).toMatchObject([
    { name: "engine", seen: expect.stringContaining("dead.sock"), advice: expect.stringContaining("start it") },
  ]);
  const untried = findings.filter(({ verdict }) => verdict === "not_tried").map(({ name }) => name);
  expect(untried).toEqual(expect.arrayContaining([...limits, ...walls].map((name) => `runsc: ${name}`)));
  expect(code).toBe(1);
});

test("a scratch folder that others may write fails by name, in plain lines", async () => {
  const { code, stdout } = await toolx.run(["doctor"], { env: { SANDBOX_ROOT: "/tmp" } });
  expect(stdout).toMatch(/^FAIL +scratch folder +write a file in \/tmp: .*can be written by others.*\n +→ /m);
  expect(stdout).toMatch(/^not tried +runc: memory /m);
  expect(code).toBe(1);
});

test("behind an engine that leaves a wall out doctor says which in JSON, and exits 1", async () => {
  await using engine = await weakEngine("/var/run/docker.sock", () => ({
    SecurityOpt: ["no-new-privileges", "seccomp=unconfined"],
  }));
  const env = { DOCKER_HOST: `unix://${engine.socketPath}`, TOOL_EXECUTOR_RUNTIMES: "runc" };
  const { code, stdout } = await toolx.run(["doctor", "--json"], { env });
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.filter(({ verdict }) => verdict === "fail").map(({ name }) => name)).toEqual([
    "runc: system call filter",
    "runc: kernel calls",
    "runc: kernel sockets",
    "runc: second ABI",
  ]);
  expect(code).toBe(1);
});
