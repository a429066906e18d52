import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { type Cli, type CliProcess, openCli, printed } from "../support/cli.ts";
import { cliForEachTest } from "../support/cli-for-each-test.ts";
import { until } from "../support/until.ts";

let toolx: Cli;
cliForEachTest((cli) => {
  toolx = cli;
});

/** A task that has started, says so, and would go on for a minute. */
async function longTask(cli: Cli, taskId: string, ...flags: readonly string[]): Promise<CliProcess> {
  const command = "echo kept > /output/kept.txt; echo ready; sleep 60";
  const run = cli.start(["run", "shell", "--task-id", taskId, "--timeout", "90s", ...flags, "--", command]);
  await printed(run, "ready");
  return run;
}

describe("a task that is ended from outside", () => {
  test("by cancel, from another process: 130, one result, its files kept", async () => {
    const run = await longTask(toolx, "t-cancel");
    const cancel = await toolx.run(["cancel", "t-cancel"]);
    expect(cancel).toMatchObject({ code: 0, stderr: "t-cancel is being cancelled\n" });
    const { code, stderr, tookMs } = await run.ended();
    expect(code).toBe(130);
    expect(stderr).toContain("✗ cancelled");
    expect(tookMs).toBeLessThan(30_000);
    expect(await toolx.result(["get", "t-cancel"])).toMatchObject({
      reason: "cancelled",
      output: { stdout: "ready\n", artifacts: [{ path: "kept.txt", size_bytes: 5 }] },
    });
    expect((await toolx.run(["cancel", "t-cancel"])).stderr).toBe("t-cancel has ended already (cancelled)\n");
  });

  test("before it came: it never runs", async () => {
    expect((await toolx.run(["cancel", "t-early"])).code).toBe(0);
    const run = await toolx.run(["run", "shell", "--task-id", "t-early", "--", "echo never"]);
    expect(run).toMatchObject({ code: 130, stdout: "" });
  });

  test.each<["SIGINT" | "SIGTERM" | "SIGHUP"]>([["SIGINT"], ["SIGTERM"], ["SIGHUP"]])(
    "by %s to its process: 130",
    async (name) => {
      const run = await longTask(toolx, "t-signal");
      run.child.kill(name);
      const { code, stderr } = await run.ended();
      expect(code).toBe(130);
      expect(stderr).toContain("✗ cancelled");
      expect(await toolx.result(["get", "t-signal"])).toMatchObject({ reason: "cancelled" });
    },
  );

  test("by a second SIGINT at once; gc then removes what is left", async () => {
    const run = toolx.start(["run", "shell", "--", "trap '' TERM; echo ready; sleep 60"]);
    await printed(run, "ready");
    run.child.kill("SIGINT");
    run.child.kill("SIGINT");
    expect((await run.ended()).code).toBe(130);
    expect((await toolx.run(["gc"])).code).toBe(0);
  });
});

describe("kill -9 of a running toolx, then gc", () => {
  test("leaves nothing, ends the task as worker_lost, and does not touch what a living process holds", async () => {
    const other = await openCli();
    try {
      const living = await longTask(other, "t-living");
      const killed = await longTask(toolx, "t-killed");
      killed.child.kill("SIGKILL");
      await killed.ended();
      expect(await toolx.leftovers()).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^container /),
          expect.stringMatching(/^default\.t-killed\.1\./),
        ]),
      );

      const gc = await toolx.run(["gc", "-o", "json"]);
      expect(gc.code).toBe(0);
      expect(JSON.parse(gc.stdout)).toMatchObject({ ended: 1, removed: { directories: 1, sockets: 1 } });
      expect(await toolx.leftovers()).toEqual([]);
      expect(await toolx.result(["get", "t-killed"])).toMatchObject({
        status: "failed",
        reason: "worker_lost",
        error: { retryable: true },
      });

      const [container] = await other.leftovers();
      expect(container).toMatch(/^container /);
      const { State } = await testDocker()
        .getContainer((container ?? "").slice("container ".length))
        .inspect();
      expect(State.Running).toBe(true);
      expect((await other.run(["cancel", "t-living"])).code).toBe(0);
      expect((await living.ended()).code).toBe(130);
      expect(await other.leftovers()).toEqual([]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  test("while a sandbox is being made leaves nothing either", async () => {
    const run = toolx.start(["run", "shell", "--", "sleep 60"]);
    await until(
      "a container of ours",
      async () => (await toolx.leftovers()).some((name) => name.startsWith("container ")),
      20_000,
    );
    run.child.kill("SIGKILL");
    await run.ended();
    expect((await toolx.run(["gc"])).code).toBe(0);
  });
});

describe("the same task id", () => {
  test("with the same request gives the first result again, byte for byte", async () => {
    const args = ["run", "shell", "--task-id", "t-same", "-o", "json", "--", "date +%N"];
    const first = await toolx.run(args);
    const second = await toolx.run(args);
    expect(first.code).toBe(0);
    expect(second.stdoutBytes.equals(first.stdoutBytes)).toBe(true);
  });

  test("with another request is a conflict: 2, and the first result stands", async () => {
    await toolx.run(["run", "shell", "--task-id", "t-same", "--", "echo first"]);
    const other = await toolx.run(["run", "shell", "--task-id", "t-same", "--", "echo second"]);
    expect(other).toMatchObject({ code: 2, stdout: "" });
    expect(other.stderr).toMatch(
      /conflict: task default\/t-same is known with another request\n.*hint: give a new task_id/,
    );
    expect(await toolx.result(["get", "t-same"])).toMatchObject({ output: { stdout: "first\n" } });
  });

  test("under another tenant is another task", async () => {
    await toolx.run(["run", "shell", "--task-id", "t-same", "--", "echo first"]);
    const other = await toolx.run(["run", "shell", "--tenant", "acme", "--task-id", "t-same", "--", "echo second"]);
    expect(other).toMatchObject({ code: 0, stdout: "second\n" });
  });

  test("from two processes at once runs once, and both are told the same", async () => {
    const args = ["run", "shell", "--task-id", "t-twice", "-o", "json", "--", "date +%N; sleep 1"];
    const [one, two] = await Promise.all([toolx.run(args), toolx.run(args)]);
    expect(one.stdout).toBe(two.stdout);
    expect(JSON.parse(one.stdout)).toMatchObject({ reason: "ok", attempt: 1 });
  });
});

describe("logs", () => {
  test("-f follows from another process while the task runs, and ends with it", async () => {
    const echo = 'while read -r word; do echo "got $word"; done; echo over >&2';
    const run = toolx.start(["run", "shell", "--stdin", "--task-id", "t-live", "--", echo], { openStdin: true });
    run.type("one\n");
    await printed(run, "got one\n");
    const follower = toolx.start(["logs", "-f", "t-live"]);
    await printed(follower, "got one\n");
    run.type("two\n");
    await printed(follower, "got two\n");
    expect(follower.stdout()).toBe("got one\ngot two\n");
    run.child.stdin?.end();
    expect(await run.ended()).toMatchObject({ code: 0 });
    expect(await follower.ended()).toMatchObject({ code: 0, stdout: "got one\ngot two\n", stderr: "over\n" });
    expect(await toolx.run(["logs", "t-live"])).toMatchObject({
      code: 0,
      stdout: "got one\ngot two\n",
      stderr: "over\n",
    });
  });

  test("ps shows the task while it runs, and with -a when it has ended", async () => {
    const run = await longTask(toolx, "t-shown");
    expect((await toolx.run(["ps"])).stdout).toMatch(/^TASK .*\nt-shown +shell +running /);
    run.child.kill("SIGINT");
    await run.ended();
    expect((await toolx.run(["ps"])).stdout).not.toContain("t-shown");
    expect((await toolx.run(["ps", "-a"])).stdout).toMatch(/\nt-shown +shell +cancelled /);
  });
});

test("after all kinds of ends the scratch and runtime folders are there and empty", async () => {
  await toolx.run(["run", "shell", "--", "true"]);
  await toolx.run(["run", "shell", "--timeout", "1s", "--", "sleep 9"]);
  expect(await readdir(toolx.scratchDir)).toEqual([]);
  expect(await readdir(toolx.runtimeDir)).toEqual([]);
});
