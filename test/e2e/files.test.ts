import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
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

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe("files into a task", () => {
  test.each(["runc", "runsc"])("under %s a file and a folder stand in /workspace, as they were", async (runtime) => {
    const folder = join(toolx.workDir, "in");
    await mkdir(join(folder, "deep/er"), { recursive: true });
    await writeFile(join(folder, "deep/er/bytes"), Buffer.from([0, 255, 10, 226]));
    await writeFile(join(folder, "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
    await writeFile(join(toolx.workDir, "one.txt"), "one");
    const command = "cat one.txt sub/renamed; in/tool; sha256sum < in/deep/er/bytes";
    const files = ["--file", "one.txt", "--file", "one.txt:sub/renamed", "--file", "in"];
    const env = { TOOL_EXECUTOR_RUNTIMES: "runc,runsc" };
    const { code, stdout, stderr } = await toolx.run(["run", "shell", "--runtime", runtime, ...files, "--", command], {
      env,
    });
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^✓ ok/)]);
    expect(stdout).toBe(`oneoneran\n${sha256(Buffer.from([0, 255, 10, 226]))}  -\n`);
  });

  test("many megabytes go in, out on stdout, and out of the log, byte for byte", async () => {
    const large = randomBytes(5_000_000);
    await writeFile(join(toolx.workDir, "noise"), large);
    const run = await toolx.run(["run", "shell", "--task-id", "t-noise", "--file", "noise", "--", "cat noise"]);
    expect(sha256(run.stdoutBytes)).toBe(sha256(large));
    const logs = await toolx.run(["logs", "t-noise"]);
    expect(sha256(logs.stdoutBytes)).toBe(sha256(large));
  });

  test("a script from a file imports what was given beside it", async () => {
    await writeFile(join(toolx.workDir, "main.py"), "import beside\nprint(beside.value)\n");
    await writeFile(join(toolx.workDir, "beside.py"), "value = 42\n");
    const run = await toolx.run(["run", "python", "main.py", "--file", "beside.py"]);
    expect(run).toMatchObject({ code: 0, stdout: "42\n" });
  });

  test("input larger than the disk ends as disk_full, however much larger it is", async () => {
    await writeFile(join(toolx.workDir, "large"), "");
    await truncate(join(toolx.workDir, "large"), 400 * 1024 * 1024);
    const { reason } = await toolx.result(["run", "shell", "--disk", "4m", "--file", "large", "--", "true"]);
    expect(reason).toBe("disk_full");
  });
});

describe("files out of a task", () => {
  const leave = 'mkdir -p /output/sub; printf a > /output/a.txt; head -c 100000 /dev/urandom > "/output/sub/b c.bin"';

  test("ls tells their size, type and hash; pull puts them, all or those named, into a folder", async () => {
    const run = await toolx.run(["run", "shell", "--task-id", "t-files", "--", leave]);
    expect(run.stderr).toContain("2 artifacts");
    const ls = await toolx.run(["artifacts", "ls", "t-files", "-o", "json"]);
    const listed = JSON.parse(ls.stdout);
    expect(listed).toMatchObject([
      { path: "a.txt", size_bytes: 1, mime: "text/plain", sha256: sha256(Buffer.from("a")) },
      { path: "sub/b c.bin", size_bytes: 100_000, mime: "application/octet-stream" },
    ]);

    const one = await toolx.run(["artifacts", "pull", "t-files", "--out", "some", "sub/b c.bin"]);
    expect(one.code).toBe(0);
    expect(await readdir(join(toolx.workDir, "some"), { recursive: true })).toEqual(["sub", "sub/b c.bin"]);
    expect(sha256(await readFile(join(toolx.workDir, "some/sub/b c.bin")))).toBe(listed[1].sha256);

    expect((await toolx.run(["artifacts", "pull", "t-files"])).code).toBe(0);
    expect(await readFile(join(toolx.workDir, "t-files/a.txt"), "utf8")).toBe("a");

    const none = await toolx.run(["artifacts", "pull", "t-files", "b.bin"]);
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/kept no file "b\.bin"; it kept: a\.txt, sub\/b c\.bin/);
  });

  test("--out pulls them after the run", async () => {
    await toolx.run(["run", "shell", "--out", "pulled", "--", leave]);
    expect(await readFile(join(toolx.workDir, "pulled/a.txt"), "utf8")).toBe("a");
  });

  test.each([
    ["failed", "exit 7", [], 7],
    ["timed out", "sleep 60", ["--timeout", "1s"], 124],
    ["ran out of memory", "tail /dev/zero", ["--memory", "32m"], 137],
  ])("are kept of a task that %s", async (_how, end, flags, code) => {
    const taskId = `t-kept-${code}`;
    const command = `echo kept > /output/kept.txt; ${end}`;
    expect((await toolx.run(["run", "shell", "--task-id", taskId, ...flags, "--", command])).code).toBe(code);
    const ls = await toolx.run(["artifacts", "ls", taskId, "-o", "json"]);
    expect(JSON.parse(ls.stdout)).toMatchObject([{ path: "kept.txt", sha256: sha256(Buffer.from("kept\n")) }]);
  });

  test("links are not followed: what they point to does not come out", async () => {
    const command = "ln -s /etc/passwd /output/link; ln -s / /output/root; echo real > /output/real";
    const { output } = await toolx.result(["run", "shell", "--", command]);
    expect(output.artifacts.map(({ path }) => path)).toEqual(["real"]);
  });

  test("/output/result.json becomes the value", async () => {
    const { output } = await toolx.result(["run", "shell", "--", `echo '{"rows": [1, 2]}' > /output/result.json`]);
    expect(output.value).toEqual({ rows: [1, 2] });
  });
});
