import { describe, expect, test } from "vitest";
import { fitsPrewarm, parsePrewarm, prewarmLabel } from "../../../../src/adapters/docker/prewarm.ts";
import type { SandboxCommand } from "../../../../src/ports/sandbox.ts";

const whole = { argv: ["python3", "/prewarm.py"], environment: ["PYTHON*", "TZ"], memory_mb: 64 };

describe("what an image's label says", () => {
  const read = (value: unknown) => parsePrewarm({ [prewarmLabel]: JSON.stringify(value) });

  test("is how the program is started, what it reads, and its memory", () => {
    expect(read(whole)).toEqual({ argv: whole.argv, environment: whole.environment, memoryMb: 64 });
  });

  test.each<[string, unknown]>([
    ["no list", { ...whole, argv: "python3" }],
    ["no program", { ...whole, argv: [] }],
    ["an empty word", { ...whole, argv: ["python3", ""] }],
    ["a number among the words", { ...whole, argv: ["python3", 1] }],
    ["no environment", { ...whole, environment: undefined }],
    ["no memory", { ...whole, memory_mb: 0 }],
    ["half a MiB", { ...whole, memory_mb: 0.5 }],
    ["more memory than any image may take unasked", { ...whole, memory_mb: 4097 }],
    ["a list", [whole]],
    ["null", null],
  ])("is nothing when it has %s", (_what, value) => {
    expect(read(value)).toBeNull();
  });

  test("is nothing without a label, or with one that is no JSON", () => {
    expect(parsePrewarm({})).toBeNull();
    expect(parsePrewarm({ [prewarmLabel]: "{" })).toBeNull();
  });
});

describe("a program that waits is given a command", () => {
  const prewarm = { argv: whole.argv, environment: whole.environment, memoryMb: 64 };
  const env = { PATH: "/bin", PYTHONUNBUFFERED: "1", HOME: "/workspace" };
  const command = (change: Partial<SandboxCommand>): SandboxCommand => ({
    ...{ argv: ["python3", "/workspace/a.py", "x"], env, cwd: "/workspace", stdin: false, deadlineMs: 1, graceMs: 1 },
    ...change,
  });

  test.each<[string, Partial<SandboxCommand>]>([
    ["of the same program", {}],
    ["with options", { argv: ["python3", "-c", "1"] }],
    ["with variables that it has not read", { env: { ...env, MODE: "ci", HTTP_PROXY: "x", HOME: "/tmp", TZX: "1" } }],
    ["with a secret", { secrets: [{ name: "TOKEN", as: "env", value: Buffer.from("x") }] }],
  ])("%s", (_what, change) => {
    expect(fitsPrewarm(prewarm, env, command(change))).toBe(true);
  });

  test.each<[string, Partial<SandboxCommand>]>([
    ["of another program", { argv: ["python", "/workspace/a.py"] }],
    ["of one by its path", { argv: ["/usr/bin/python3", "/workspace/a.py"] }],
    ["without a program", { argv: [] }],
    ["whose name may mean another program", { env: { ...env, PATH: "/workspace/bin:/bin" } }],
    ["with a variable that is read at the start", { env: { ...env, PYTHONPATH: "/workspace" } }],
    ["with another value of one", { env: { ...env, PYTHONUNBUFFERED: "" } }],
    ["without one that was there", { env: { PATH: "/bin", HOME: "/workspace" } }],
    ["with one by its whole name", { env: { ...env, TZ: "Europe/Berlin" } }],
    ["with a secret of such a name", { secrets: [{ name: "PYTHONSTARTUP", as: "env", value: Buffer.from("x") }] }],
  ])("but not one %s", (_what, change) => {
    expect(fitsPrewarm(prewarm, env, command(change))).toBe(false);
  });
});
