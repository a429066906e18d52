import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Finding } from "../../src/app/finding.ts";
import { type Cli, openCli } from "../support/cli.ts";

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
];

test("doctor tries every limit and wall within 30 s, all hold here, and the user's tasks show none of it", async () => {
  const { code, stdout, tookMs } = await toolx.run(["doctor", "-o", "json"]);
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.filter(({ verdict }) => verdict === "fail" || verdict === "not_tried")).toEqual([]);
  const held = findings.filter(({ verdict }) => verdict === "ok").map(({ name }) => name);
  expect(held).toEqual(expect.arrayContaining(["engine", "runtime", "data folder", ...limits, ...walls]));
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(30_000);
  expect((await toolx.run(["ps", "-a", "-o", "json"])).stdout).toBe("");
});

test("without an engine doctor says so with advice, tries nothing in it, and exits 1", async () => {
  const env = { DOCKER_HOST: `unix://${toolx.workDir}/dead.sock` };
  const { code, stdout } = await toolx.run(["doctor", "-o", "json"], { env });
  const findings: readonly Finding[] = JSON.parse(stdout);
  expect(findings.filter(({ verdict }) => verdict === "fail")).toMatchObject([
    { name: "engine", seen: expect.stringContaining("dead.sock"), advice: expect.stringContaining("start it") },
  ]);
  const untried = findings.filter(({ verdict }) => verdict === "not_tried").map(({ name }) => name);
  expect(untried).toEqual(expect.arrayContaining([...limits, ...walls]));
  expect(code).toBe(1);
});

test("a scratch folder that others may write fails by name, in plain lines", async () => {
  const { code, stdout } = await toolx.run(["doctor"], { env: { SANDBOX_ROOT: "/tmp" } });
  expect(stdout).toMatch(/^FAIL +scratch folder +write a file in \/tmp: .*can be written by others.*\n +→ /m);
  expect(stdout).toMatch(/^not tried +memory /m);
  expect(code).toBe(1);
});
