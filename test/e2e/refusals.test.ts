import { access, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
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

/** One message of ours on stderr and nothing on stdout: no stack, no second opinion. */
function expectOneMessage(end: { readonly stdout: string; readonly stderr: string }, pattern: RegExp): void {
  expect(end.stdout).toBe("");
  expect(end.stderr).toMatch(pattern);
  expect(end.stderr.match(/^(toolx: |✗ )/gm)).toHaveLength(1);
  expect(end.stderr).not.toMatch(/^\s+at /m);
}

const run = (...args: readonly string[]): readonly string[] => ["run", "shell", ...args, "--", "echo never"];

describe("a bad command line is refused with 2, before anything is stored", () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      "an unknown tool",
      ["run", "shel", "--", "true"],
      /unknown_tool: no tool is named "shel"; there are code_interpreter, http, knowledge_base, shell\n.*did you mean shell/,
    ],
    [
      "a tool that is not built yet",
      ["run", "scanner", "--payload", "{}"],
      /unknown_tool: tool "scanner" is not built yet; there are/,
    ],
    [
      "an unknown field of the payload",
      ["run", "shell", "--payload", '{"comand":"true"}'],
      /payload\.comand is no known field, did you mean command\?/,
    ],
    [
      "a payload of the wrong kind",
      ["run", "shell", "--payload", '{"command":7}'],
      /validation: payload\.command is 7, must be a string/,
    ],
    [
      "a payload that is no JSON",
      ["run", "shell", "--payload", "{"],
      /--payload: the text is no JSON in UTF-8.*\n.*hint: allowed: a JSON object, or @FILE/,
    ],
    [
      "a language there is not",
      ["run", "code_interpreter", "--payload", '{"language":"cobol","code":""}'],
      /payload\.language .*python.*node/,
    ],
    ["nothing to run", ["run", "shell"], /nothing to run; allowed: toolx run shell -- 'COMMAND LINE'/],
    [
      "an unknown flag",
      run("--frobnicate"),
      /validation: unknown option '--frobnicate'\n.*--help lists what is allowed/,
    ],
    ["an unknown verb", ["frobnicate"], /validation: unknown command 'frobnicate'\n.*--help lists what is allowed/],
    ["a limit over its maximum", run("--memory", "99g"), /limits\.memory_mb is 101376, at most 16384/],
    ["a limit under its minimum", run("--pids", "0"), /limits\.pids is 0, at least 1/],
    ["more CPUs than there are", run("--cpus", "1000"), /limits\.cpus is 1000, at most \d+/],
    ["a time that is none", run("--timeout", "soon"), /--timeout is "soon"; allowed: a time such as 30s/],
    ["a size that is none", run("--memory", "much"), /--memory is "much"; allowed: a size such as 64m/],
    [
      "an output format there is not",
      run("-o", "xml"),
      /validation: option '-o, --output <format>' argument 'xml' is invalid\. Allowed choices are text, json/,
    ],
    ["a missing file", run("--file", "nowhere.csv"), /--file: nowhere\.csv: there is no such file/],
    ["a file that would leave /workspace", run("--file", "/etc/hostname:../../etc/x"), /validation: .*\.\./],
    ["a missing script", ["run", "python", "nowhere.py"], /script: nowhere\.py: there is no such file/],
    ["an environment variable without a value", run("--env", "MODE"), /--env is "MODE"; allowed: NAME=VALUE/],
    ["a task id that is none", run("--task-id", "../x"), /task_id .*1 to 63 letters/],
    [
      "an image that is not allowed",
      run("--image", "evil.example/x"),
      /policy_denied: image "evil\.example\/x" is not allowed; allowed: shell, python, node/,
    ],
    [
      "a runtime that is not allowed",
      run("--runtime", "kata"),
      /policy_denied: runtime "kata" is not allowed; allowed: runc, runsc/,
    ],
    ["an image to add that is not there", ["images", "add", "nowhere/x:1"], /no image "nowhere\/x:1" on this engine/],
    ["an image to add that is no name", ["images", "add", "../x"], /"\.\.\/x" is no image reference; allowed: NAME/],
    ["an added image nobody knows", ["images", "rm", "nothing"], /no added image is called "nothing"; none was added/],
    ["a host that is everything", run("--allow", "*"), /policy_denied: .*"\*" allows every host/],
    [
      "a secret that the tenant has not",
      run("--secret", "DB_URL"),
      /policy_denied: tenant default has no secret DB_URL/,
    ],
    ["the later verb audit verify", ["audit", "verify"], /policy_denied: toolx audit is not built yet/],
    ["a replay of a task nobody knows", ["replay", "nothing"], /validation: there is no task default\/nothing/],
    ["a replay of what is no task", ["replay", "../x"], /validation: task id is "\.\.\/x"; allowed: 1 to 63/],
    ["a dead letter nobody knows", ["dlq", "show", "1"], /validation: no dead letter 1 in this store/],
    ["a replay of no letter", ["dlq", "replay"], /validation: --all is "false"; allowed: letters by their numbers/],
    ["a task nobody knows", ["get", "nothing"], /validation: no task default\/nothing in this data folder/],
    ["the log of a task nobody knows", ["logs", "nothing"], /validation: no task default\/nothing in this data folder/],
    ["artifacts of a task nobody knows", ["artifacts", "ls", "nothing"], /validation: no task default\/nothing/],
  ])("%s", async (_name, args, pattern) => {
    const end = await toolx.run(args);
    expectOneMessage(end, pattern);
    expect(end.code).toBe(2);
  });

  test("none of that is a task afterwards", async () => {
    const { stdout } = await toolx.run(["ps", "-a", "-o", "json"]);
    expect(stdout).toBe("");
  });

  test("with -o json the refusal is an envelope that says the same", async () => {
    const result = await toolx.result(run("--memory", "99g"));
    expect(result).toMatchObject({
      status: "failed",
      reason: "validation",
      error: { code: "validation", retryable: false, details: [{ path: "/limits/memory_mb" }] },
      sandbox: null,
      attempt: 0,
    });
  });
});

describe("a wrong setting stops the start with 2 and its name", () => {
  test.each<[string, Record<string, string>, RegExp]>([
    [
      "a value that is none",
      { TOOL_EXECUTOR_MAX_WORKERS: "lots" },
      /TOOL_EXECUTOR_MAX_WORKERS in the environment is "lots", must be a whole number from 1 to 1000/,
    ],
    [
      "a slip in a name",
      { TOOL_EXECUTOR_MAX_WORKER: "2" },
      /"TOOL_EXECUTOR_MAX_WORKER" in the environment is no setting\n.*did you mean TOOL_EXECUTOR_MAX_WORKERS/,
    ],
    [
      "a server's address that is none",
      { TOOL_EXECUTOR_URL: "localhost" },
      /TOOL_EXECUTOR_URL in the environment is "localhost", must be http:\/\/host:port/,
    ],
    [
      "an engine's address that is none",
      { DOCKER_HOST: "docker.sock" },
      /DOCKER_HOST in the environment is "docker\.sock", must be unix:/,
    ],
  ])("%s", async (_name, env, pattern) => {
    const end = await toolx.run(run(), { env });
    expectOneMessage(end, pattern);
    expect(end.code).toBe(2);
  });
});

describe("a host that is not as it must be is said so in one message", () => {
  test("no engine: 125, with the address and what to do", async () => {
    const env = { DOCKER_HOST: `unix://${toolx.workDir}/dead.sock` };
    const end = await toolx.run(run(), { env });
    expectOneMessage(end, /✗ sandbox .*\n.*dead\.sock\n.*hint: is the engine running\?/);
    expect(end.code).toBe(125);
    expect((await toolx.run(["gc"], { env })).code).toBe(125);
  });

  test("a file where the data folder should be: 125", async () => {
    const path = join(toolx.workDir, "a-file");
    await writeFile(path, "");
    const end = await toolx.run(run(), { env: { TOOL_EXECUTOR_DATA: path } });
    expectOneMessage(
      end,
      /internal: task store .*a-file\/tasks\.db: it cannot be opened\n.*hint: .*TOOL_EXECUTOR_DATA/,
    );
    expect(end.code).toBe(125);
  });

  test("a link where the scratch folder should be: 2", async () => {
    const path = join(toolx.workDir, "a-link");
    await symlink(toolx.workDir, path);
    const end = await toolx.run(run(), { env: { SANDBOX_ROOT: path } });
    expectOneMessage(end, /SANDBOX_ROOT: .*a-link is not a folder itself/);
    expect(end.code).toBe(2);
  });

  test.each<[string, string, string, string, RegExp]>([
    [
      "the task store",
      "TOOL_EXECUTOR_DATA",
      "16k",
      "true",
      /internal: task store .*: the disk is full\n.*hint: make room/,
    ],
    [
      "the object store",
      "TOOL_EXECUTOR_DATA",
      "700k",
      "head -c 4M /dev/urandom > /output/much",
      /✗ internal .*\n.*artifacts\.tar in the object store .*: the disk is full\n.*hint: make room/,
    ],
    [
      "the journal",
      "SANDBOX_ROOT",
      "64k",
      "head -c 4M /dev/urandom > /dev/stderr",
      /✗ internal .*\n.*journal .* cannot be written \(ENOSPC\)\n.*hint: free space/,
    ],
  ])("a disk that is full for %s: 125, and nothing is left", async (_name, setting, size, command, pattern) => {
    const place = join(toolx.workDir, `full-${size}`);
    await mkdir(place, { recursive: true });
    // In a mount namespace of its own, which takes the mount away with its last process.
    const mounted = 'mount -t tmpfs -o "size=$1" full "$2" && shift 2 && exec "$@"';
    const end = await toolx.run(["run", "shell", "--", command], {
      env: { [setting]: join(place, "folder") },
      through: ["unshare", "-m", "sh", "-c", mounted, "sh", size, place],
    });
    expect(end.code).toBe(125);
    expect(end.stderr).toMatch(pattern);
    expect(end.stderr).not.toMatch(/^\s+at /m);
  });
});

test("--help and config show need neither a data folder nor an engine", async () => {
  const fresh = await openCli();
  const env = { DOCKER_HOST: `unix://${fresh.workDir}/dead.sock` };
  const help = await fresh.run(["run", "--help"], { env });
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("--memory <size>");
  const show = await fresh.run(["config", "show", "-o", "json"], { env });
  expect(show.code).toBe(0);
  expect(JSON.parse(show.stdout)).toContainEqual(
    expect.objectContaining({ name: "TOOL_EXECUTOR_DATA", value: fresh.dataDir, origin: "environment" }),
  );
  await expect(access(fresh.dataDir)).rejects.toThrow("ENOENT");
  await fresh[Symbol.asyncDispose]();
});
