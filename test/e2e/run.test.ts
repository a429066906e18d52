import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { resultSchema } from "../../src/schema/result-schema.ts";
import { type Cli, checkout, openCli, printed } from "../support/cli.ts";

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

describe("what a task writes and how it ends", () => {
  const threeWays = "echo hi; echo err >&2; exit 3";

  test("both streams come through as they are, and the exit code is the task's", async () => {
    const { code, stdout, stderr } = await toolx.run(["run", "shell", "--", threeWays]);
    expect(code).toBe(3);
    expect(stdout).toBe("hi\n");
    expect(stderr).toMatch(/^err\n✗ nonzero_exit .*exit 3/);
  });

  test("-o json prints one envelope, valid against its own schema, and nothing else", async () => {
    const { code, stdout, stderr } = await toolx.run(["run", "shell", "-o", "json", "--", threeWays]);
    expect(code).toBe(3);
    expect(stderr).toBe("");
    const accepts = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(resultSchema);
    const result = JSON.parse(stdout);
    accepts(result);
    expect(accepts.errors).toBeNull();
    expect(result).toMatchObject({
      status: "failed",
      reason: "nonzero_exit",
      exit_code: 3,
      output: { stdout: "hi\n", stderr: "err\n", stdout_bytes: 3, stderr_bytes: 4, truncated: false },
      sandbox: { image: "shell", runtime: "runc", warm: false },
      attempt: 1,
    });
    expect(stdout).toBe(`${JSON.stringify(result)}\n`);
  });

  test.each([
    ["one argument is a shell line", ["--", "echo $((6*7)) | cat"], "42\n"],
    ["several are a program and its arguments, with no shell", ["--", "echo", "$HOME", "a  b"], "$HOME a  b\n"],
  ])("%s", async (_name, args, stdout) => {
    expect(await toolx.run(["run", "shell", ...args])).toMatchObject({ code: 0, stdout });
  });

  test.each([
    ["python", "import sys; print(sys.argv[1:], 6*7)", "['a', 'b c'] 42\n"],
    ["node", "console.log(process.argv.slice(2), 6*7)", "[ 'a', 'b c' ] 42\n"],
  ])("%s -c runs code with its arguments", async (language, code, stdout) => {
    expect(await toolx.run(["run", language, "-c", code, "a", "b c"])).toMatchObject({ code: 0, stdout });
  });

  test.each([
    ["python", "print('out'); 6*7"],
    ["node", "console.log('out'); 6*7"],
  ])(
    "%s: the value of the last expression is told on stderr and in the envelope, never on stdout",
    async (language, code) => {
      const { stdout, stderr } = await toolx.run(["run", language, "-c", code]);
      expect(stdout).toBe("out\n");
      expect(stderr).toMatch(/^✓ ok .*\n {2}value: 42\n$/);
      expect(await toolx.result(["run", language, "-c", code])).toMatchObject({ output: { value: 42, artifacts: [] } });
    },
  );

  test("a figure is pulled without being saved, and nothing of ours beside it", async () => {
    const code = "import matplotlib.pyplot as plot; plot.plot([1, 4, 9])";
    const { stderr } = await toolx.run(["run", "python", "-c", code, "--out", "figures"]);
    expect(stderr).toMatch(/1 artifact\n {2}figure-1\.png /);
    expect(await readdir(join(toolx.workDir, "figures"))).toEqual(["figure-1.png"]);
  });

  test.each([
    ["a signal of its own", "kill -SEGV $$", 139, "nonzero_exit"],
    ["its own kill -9, which is no lack of memory", "kill -9 $$", 137, "nonzero_exit"],
    ["a program that is not there", "no-such-program", 127, "nonzero_exit"],
    ["255", "exit 255", 255, "nonzero_exit"],
  ])("ends with %s", async (_name, command, code, reason) => {
    const end = await toolx.run(["run", "shell", "--", command]);
    expect(end.code).toBe(code);
    expect(end.stderr).toContain(`✗ ${reason}`);
  });
});

describe("limits", () => {
  test("a task that runs for ever ends with 124 within 4 s under --timeout 2s", async () => {
    const { code, stderr, tookMs } = await toolx.run(["run", "python", "-c", "while True: pass", "--timeout", "2s"]);
    expect(code).toBe(124);
    expect(stderr).toContain("✗ timeout");
    expect(tookMs).toBeGreaterThan(2000);
    expect(tookMs).toBeLessThan(4000);
  });

  test("a hog under --memory 64m ends with 137 and oom", async () => {
    const hog = "held = []\nwhile True: held.append(bytearray(1 << 20))";
    const { code, stderr } = await toolx.run(["run", "python", "-c", hog, "--memory", "64m"]);
    expect(code).toBe(137);
    expect(stderr).toContain("✗ oom");
    expect(stderr).toContain("memory_mb 64");
  });

  test.each([
    ["bytes", ["--disk", "8m"], "head -c 64M /dev/zero > /workspace/full"],
    ["inodes", ["--inodes", "64"], "for i in $(seq 200); do : > $i || exit 1; done"],
  ])("a /workspace that is full of %s ends as disk_full with the task's exit code", async (_what, flags, command) => {
    const { code, stderr } = await toolx.run(["run", "shell", ...flags, "--", command]);
    expect(code).toBe(1);
    expect(stderr).toContain("✗ disk_full");
    expect(stderr).toContain("/workspace was full");
  });

  test("a fork bomb ends by its limit, and a task beside it is unhurt", async () => {
    const bomb = toolx.start(["run", "shell", "--pids", "32", "--timeout", "4s", "--", "b() { b | b; }; echo lit; b"]);
    await printed(bomb, "lit");
    const neighbour = await toolx.result(["run", "shell", "--", "for i in $(seq 20); do echo $i | cat; done"]);
    const { stderr, code } = await bomb.ended();
    expect(stderr).toMatch(/✗ (pids_limit|timeout) /);
    expect(code).not.toBe(0);
    expect(neighbour).toMatchObject({ reason: "ok", output: { stdout_bytes: 51 } });
  });

  test("output beyond --log-size reaches the reader whole; the middle is counted in what is stored", async () => {
    const lines = Array.from({ length: 400_000 }, (_, index) => `${index + 1}\n`).join("");
    const run = await toolx.run(["run", "shell", "--log-size", "1m", "--task-id", "capped", "--", "seq 400000"]);
    expect(run.stdout === lines).toBe(true);

    const result = await toolx.result(["get", "capped"]);
    expect(result).toMatchObject({ output: { truncated: true, stdout_bytes: lines.length, stderr_bytes: 0 } });
    const stored = await toolx.run(["logs", "capped", "-o", "json"]);
    const entries = stored.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const gapAt = entries.findIndex(({ gap }) => gap !== undefined);
    const text = (some: readonly { readonly text: string }[]): string => some.map((entry) => entry.text).join("");
    const [head, tail] = [text(entries.slice(0, gapAt)), text(entries.slice(gapAt + 1))];
    expect(head.length).toBeGreaterThan(100_000);
    expect(tail.length).toBeGreaterThan(100_000);
    expect(lines.startsWith(head) && lines.endsWith(tail)).toBe(true);
    expect(head.length + entries[gapAt].gap.bytes + tail.length).toBe(lines.length);
    expect(head.length + tail.length).toBeLessThanOrEqual(1024 * 1024);
    expect(entries[gapAt].gap.from).toBeGreaterThan(entries[gapAt - 1].seq);
    expect(entries[gapAt].gap.to).toBeLessThan(entries[gapAt + 1].seq);
  });
});

describe("streams", () => {
  test("--stdin passes every byte as it is, and its end", async () => {
    const bytes = Buffer.from([...Array(256).keys(), 0xe2, 0x82, 0xff, 0xfe, 0x00, 0x0a]);
    const { code, stdoutBytes } = await toolx.run(["run", "shell", "--stdin", "--", "cat"], { stdin: bytes });
    expect(code).toBe(0);
    expect(stdoutBytes.equals(bytes)).toBe(true);
    const { stdout, stdout_encoding: encoding } = (
      await toolx.result(["run", "shell", "--stdin", "--", "cat"], { stdin: bytes })
    ).output;
    expect(encoding).toBe("base64");
    expect(Buffer.from(stdout, "base64").equals(bytes)).toBe(true);
  });

  test("without --stdin the task reads an end of file", async () => {
    const end = await toolx.run(["run", "shell", "--", "cat; echo over"], { stdin: Buffer.from("not for you") });
    expect(end).toMatchObject({ code: 0, stdout: "over\n" });
  });

  test("standard input is passed while the task runs, and stdout and stderr keep their order in the log", async () => {
    const echo = 'while read -r word; do echo "out $word"; read -r word; echo "err $word" >&2; done';
    const run = toolx.start(["run", "shell", "--stdin", "--task-id", "ordered", "--", echo], { openStdin: true });
    for (let turn = 1; turn <= 4; turn += 1) {
      run.type(`${turn}\n`);
      await printed(run, `out ${turn}\n`);
      run.type(`${turn}\n`);
      await expect.poll(() => run.stderr(), { timeout: 30_000 }).toContain(`err ${turn}\n`);
    }
    run.child.stdin?.end();
    expect((await run.ended()).code).toBe(0);
    const { stdout } = await toolx.run(["logs", "ordered", "-o", "json"]);
    const entries = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const turns = [1, 2, 3, 4].flatMap((turn) => [
      ["stdout", `out ${turn}\n`],
      ["stderr", `err ${turn}\n`],
    ]);
    expect(entries.map(({ stream, text }) => [stream, text])).toEqual(turns);
    const seqs = entries.map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  });

  test("a character split over two writes comes at once as bytes, and whole in the log", async () => {
    const split = String.raw`printf '<\xe2\x82'; read -r _; printf '\xac>\n'`;
    const run = toolx.start(["run", "shell", "--stdin", "--task-id", "split", "--", split], { openStdin: true });
    await printed(run, "<");
    run.type("go\n");
    const { code, stdout } = await run.ended();
    expect([code, stdout]).toEqual([0, "<€>\n"]);
    const result = await toolx.result(["get", "split"]);
    expect(result.output).toMatchObject({ stdout: "<€>\n", stdout_encoding: "utf-8", stdout_bytes: 6 });
    const log = (await toolx.run(["logs", "split", "-o", "json"])).stdout.trimEnd().split("\n");
    expect(log.map((line) => JSON.parse(line).text)).toEqual(["<", "€>\n"]);
  });

  test("an endless task ends when its reader does", async () => {
    const line = `set -o pipefail; ${join(checkout, "bin/toolx")} run shell -- yes | head -1`;
    const options = { env: toolx.env, timeout: 20_000 };
    await expect(promisify(execFile)("bash", ["-c", line], options)).rejects.toMatchObject({
      stdout: "y\n",
      killed: false,
    });
    const ps = await toolx.run(["ps", "-n", "1", "-a", "-o", "json"]);
    expect(JSON.parse(ps.stdout)).toMatchObject({ state: "FINISHED", reason: "cancelled" });
  });
});
