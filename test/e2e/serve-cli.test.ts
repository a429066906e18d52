import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { selfSigned } from "../support/certificate.ts";
import { type Cli, openCli, printed } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { type Server, startServer } from "../support/server.ts";
import { until } from "../support/until.ts";

let toolx: Cli;
let server: Server;
beforeAll(async () => {
  toolx = await openCli();
  server = await startServer(toolx);
});
afterAll(async () => {
  try {
    server.process.child.kill("SIGTERM");
    expect((await server.process.ended()).code).toBe(0);
    expect(await toolx.leftovers()).toEqual([]);
  } finally {
    await toolx[Symbol.asyncDispose]();
  }
});

/** Tasks that the server itself has brought to their end. */
async function endedThere(): Promise<number> {
  const { body } = await server.ask("/metrics");
  const counts = [...body.toString().matchAll(/^tool_executor_tasks_total\{.*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

describe("the command line, where a server of its data folder runs", () => {
  test("run shows stdout and stderr as they come, and exits with the task's code", async () => {
    const before = await endedThere();
    const run = toolx.start(["run", "shell", "--task-id", "t-live", "--", "echo out; echo err >&2; read -t 1; exit 7"]);
    await printed(run, "out\n");
    expect(run.child.exitCode).toBeNull();
    const { code, stdout, stderr } = await run.ended();
    expect({ code, stdout }).toEqual({ code: 7, stdout: "out\n" });
    expect(stderr).toMatch(/^err\n✗ nonzero_exit {2}t-live · exit 7/);
    expect(await endedThere()).toBe(before + 1);
  });

  test("run passes bytes that are no text as they are", async () => {
    const { stdoutBytes } = await toolx.run([
      "run",
      "shell",
      "--",
      "printf '\\377\\000\\303'; sleep 0.2; printf '\\251'",
    ]);
    expect(stdoutBytes).toEqual(Buffer.from([0xff, 0x00, 0xc3, 0xa9]));
  });

  test("run -o json prints the stored bytes, as get does", async () => {
    const run = await toolx.run(["run", "shell", "--task-id", "t-json", "-o", "json", "--", "echo x"]);
    expect(JSON.parse(run.stdout)).toMatchObject({ reason: "ok", output: { stdout: "x\n" } });
    expect((await toolx.run(["get", "t-json", "-o", "json"])).stdout).toBe(run.stdout);
    expect((await server.ask("/v1/tasks/t-json")).body.toString()).toBe(run.stdout.trimEnd());
  });

  test("files go in by their hash, and artifacts come out with their own", async () => {
    await mkdir(join(toolx.workDir, "in"), { recursive: true });
    await writeFile(join(toolx.workDir, "in", "a.txt"), "alpha\n");
    const command = "mkdir -p /output/sub/empty; cp in/a.txt '/output/sub/ä b%.txt'; wc -c < in/a.txt";
    const run = await toolx.run([
      "run",
      "shell",
      "--task-id",
      "t-files",
      "--file",
      "in",
      "--out",
      "got",
      "--",
      command,
    ]);
    expect(run).toMatchObject({ code: 0, stdout: "6\n" });
    expect(await readFile(join(toolx.workDir, "got", "sub", "ä b%.txt"), "utf8")).toBe("alpha\n");
    expect((await toolx.run(["artifacts", "ls", "t-files"])).stdout).toContain("sub/ä b%.txt");
    const pull = await toolx.run(["artifacts", "pull", "t-files", "sub/ä b%.txt", "--out", "one"]);
    expect(pull).toMatchObject({ code: 0, stderr: expect.stringContaining("1 file in ") });
  });

  test("standard input goes as text; what is none is refused with what to do", async () => {
    const sent = await toolx.run(["run", "shell", "--stdin", "--", "tr a-z A-Z"], { stdin: Buffer.from("héllo\n") });
    expect(sent).toMatchObject({ code: 0, stdout: "HéLLO\n" });
    const binary = await toolx.run(["run", "shell", "--stdin", "--", "cat"], { stdin: Buffer.from([0xff, 0xfe]) });
    expect(binary).toMatchObject({ code: 2, stderr: expect.stringContaining("it is no UTF-8 text\n  hint: ") });
  });

  test("ps, logs -f and cancel reach a task that runs there", async () => {
    const run = toolx.start(["run", "shell", "--task-id", "t-long", "--timeout", "60s", "--", "echo ready; sleep 50"]);
    await printed(run, "ready");
    expect((await toolx.run(["ps"])).stdout).toMatch(/^t-long +shell +running/m);
    const follow = toolx.start(["logs", "-f", "t-long"]);
    await printed(follow, "ready");
    expect(await toolx.run(["cancel", "t-long"])).toMatchObject({ code: 0, stderr: "t-long is being cancelled\n" });
    expect(await follow.ended()).toMatchObject({ code: 0, stdout: "ready\n" });
    expect((await run.ended()).code).toBe(130);
    expect((await toolx.run(["cancel", "t-long"])).stderr).toBe("t-long has ended already (cancelled)\n");
  });

  test("Ctrl-C cancels the task and shows its result", async () => {
    const run = toolx.start(["run", "shell", "--task-id", "t-int", "--timeout", "60s", "--", "echo ready; sleep 50"]);
    await printed(run, "ready");
    run.child.kill("SIGINT");
    expect(await run.ended()).toMatchObject({ code: 130, stderr: expect.stringContaining("✗ cancelled") });
  });

  test("a refusal reads as it does without a server", async () => {
    const run = await toolx.run(["run", "shell", "--image", "nothing", "--", "true"]);
    expect(run.code).toBe(2);
    expect(run.stderr).toMatch(/^toolx: policy_denied: image "nothing" is not allowed; allowed: shell, python, node\n/);
    expect((await toolx.run(["get", "nothing"])).stderr).toContain("validation: no task default/nothing");
  });

  test("a known id answers with the first result, and another request under it is a conflict", async () => {
    const run = (command: string) => toolx.run(["run", "shell", "--task-id", "t-once", "--", command]);
    expect(await run("echo once")).toMatchObject({ code: 0, stdout: "once\n" });
    expect(await run("echo once")).toMatchObject({ code: 0, stdout: "" });
    expect(await run("echo twice")).toMatchObject({ code: 2, stderr: expect.stringContaining("toolx: conflict: ") });
  });

  test("tools ls and describe answer as they do without one", async () => {
    expect((await toolx.run(["tools", "ls"])).stdout).toMatch(/^code_interpreter +python, node/m);
    expect(JSON.parse((await toolx.run(["tools", "describe", "shell"])).stdout)).toMatchObject({ name: "shell" });
    expect((await toolx.run(["tools", "describe", "nothing"])).code).toBe(2);
  });

  test("by TOOL_EXECUTOR_URL, with a key and without one", async () => {
    await using other = await openCli();
    const url = { TOOL_EXECUTOR_URL: server.url };
    const made = await toolx.run(["keys", "create", "--tenant", "acme"]);
    const key = made.stdout.trim();
    try {
      const run = await other.run(["run", "shell", "--task-id", "t-acme", "--", "echo remote"], {
        env: { ...url, TOOL_EXECUTOR_API_KEY: key },
      });
      expect(run).toMatchObject({ code: 0, stdout: "remote\n" });
      expect((await toolx.run(["get", "t-acme", "--tenant", "acme"])).code).toBe(0);
      expect((await toolx.run(["get", "t-acme"])).code).toBe(2);
      expect((await other.run(["tools", "ls"], { env: { ...url, TOOL_EXECUTOR_API_KEY: key } })).code).toBe(0);
      const bare = await other.run(["ps"], { env: url });
      expect(bare).toMatchObject({ code: 2, stderr: expect.stringContaining("policy_denied: an API key is needed") });
      const id = /^key ([0-9a-f]{12}) /.exec(made.stderr)?.[1] ?? "";
      expect((await toolx.run(["keys", "ls"])).stdout).toMatch(new RegExp(`^${id} +acme +valid`, "m"));
      expect((await toolx.run(["keys", "revoke", id])).code).toBe(0);
      const revoked = await other.run(["ps"], { env: { ...url, TOOL_EXECUTOR_API_KEY: key } });
      expect(revoked).toMatchObject({ code: 2, stderr: expect.stringContaining("the API key is not valid") });
      expect(await readFile(join(toolx.dataDir, "keys", `${id}.json`), "utf8")).not.toContain(key.slice(-43));
    } finally {
      await until("nothing of it runs", async () => (await other.leftovers()).length === 0, 5000);
    }
  });

  test("a second server of the same data folder is refused", async () => {
    const second = await toolx.run(["serve"], { env: { TOOL_EXECUTOR_HTTP_LISTEN: "off" } });
    expect(second).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("a server of this data folder runs already"),
    });
  });

  test("an address beyond the loopback is refused without a key", async () => {
    await using other = await openCli();
    const open = await other.run(["serve"], { env: { TOOL_EXECUTOR_HTTP_LISTEN: "0.0.0.0:0" } });
    expect(open).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("0.0.0.0 is not on the loopback, and there is no API key"),
    });
    expect(await other.leftovers()).toEqual([]);
  });
});

describe("a server with a certificate", () => {
  const certificate = forThisFile(selfSigned);
  const paths = () => ({
    TOOL_EXECUTOR_HTTP_TLS_CERT: certificate().certPath,
    TOOL_EXECUTOR_HTTP_TLS_KEY: certificate().keyPath,
  });

  test("speaks TLS at its address and nothing else; whoever trusts it is served, and nobody else goes on", async () => {
    await using toolx = await openCli();
    await using other = await openCli();
    const server = await startServer(toolx, paths());
    expect(server.url).toMatch(/^https:/);
    const { port } = new URL(server.url);
    const place = { TOOL_EXECUTOR_URL: `https://localhost:${port}` };
    const env = { ...place, NODE_EXTRA_CA_CERTS: certificate().certPath };
    const run = await other.run(["run", "shell", "--", "echo over TLS"], { env });
    expect(run).toMatchObject({ code: 0, stdout: "over TLS\n" });
    const distrustful = await other.run(["ps"], { env: { ...place, NODE_EXTRA_CA_CERTS: "" } });
    expect(distrustful).toMatchObject({ code: 125, stderr: expect.stringContaining("DEPTH_ZERO_SELF_SIGNED_CERT") });
    await expect(fetch(`http://localhost:${port}/healthz`)).rejects.toThrow();
    // The socket is this machine's own.
    expect((await toolx.run(["ps", "-a"])).code).toBe(0);
    server.process.child.kill("SIGTERM");
    expect(await server.process.ended()).toMatchObject({ code: 0 });
    expect([...(await toolx.leftovers()), ...(await other.leftovers())]).toEqual([]);
  });

  test.each<[string, () => Readonly<Record<string, string>>, string]>([
    [
      "without its key",
      () => ({ ...paths(), TOOL_EXECUTOR_HTTP_TLS_KEY: "" }),
      "only one is set, must be both or none",
    ],
    [
      "that is not there",
      () => ({ ...paths(), TOOL_EXECUTOR_HTTP_TLS_CERT: "/nowhere.pem" }),
      "cannot be read (ENOENT)",
    ],
    [
      "that is no certificate",
      () => ({ ...paths(), TOOL_EXECUTOR_HTTP_TLS_CERT: certificate().keyPath }),
      "cannot be used",
    ],
  ])("does not start with one %s, and says why", async (_name, settings, why) => {
    await using toolx = await openCli();
    const env = { TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0", ...settings() };
    expect(await toolx.run(["serve"], { env })).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
    expect(await toolx.leftovers()).toEqual([]);
  });
});
