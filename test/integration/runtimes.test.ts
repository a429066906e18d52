import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processOwner } from "../../src/adapters/disk/process-owner.ts";
import { dockerSandboxes } from "../../src/adapters/docker/docker-sandboxes.ts";
import { submit } from "../../src/executor/submit.ts";
import type { Limits } from "../../src/model/limits.ts";
import type { Result } from "../../src/model/result.ts";
import { defaultLimits } from "../support/bare-container.ts";
import { goProgram } from "../support/go-program.ts";
import { type TestHouse, testHouse } from "../support/house.ts";
import { ownedThings } from "../support/owned-things.ts";

const mib = 1024 * 1024;
const never = new AbortController().signal;

/** Asks without the C library: with a resolver of its own. */
const goResolverSource = `package main

import (
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
)

func main() {
	addresses, err := net.LookupHost(os.Args[1])
	if err != nil {
		addresses = []string{"no address"}
	}
	sort.Strings(addresses)
	fmt.Println(strings.Join(addresses, " "))
}
`;

let house: TestHouse;
let goResolver: Buffer;
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "toolx-resolver-"));
  goResolver = await readFile(await goProgram(goResolverSource, folder));
  await rm(folder, { recursive: true, force: true });
  house = await testHouse();
});
afterAll(async () => {
  expect(await ownedThings(house.docker, house.parts.liveness.self)).toEqual([]);
  await house[Symbol.asyncDispose]();
});

let number = 0;
type Payload = Readonly<Record<string, unknown>>;
async function run(
  runtime: string,
  payload: Payload,
  {
    limits = {},
    stdin = null,
    files = [],
  }: { limits?: Partial<Limits>; stdin?: AsyncIterable<Uint8Array> | null; files?: readonly object[] } = {},
): Promise<Result> {
  number += 1;
  const task = house.parseTask({
    task_id: `t-${number}`,
    tool_name: "code" in payload ? "code_interpreter" : "shell",
    payload,
    runtime,
    limits,
    files,
  });
  return await submit(house.parts, task, { watcher: () => undefined, stdin }, never);
}

/** What ordinary programs need of a kernel: too strict a wall is a fault too. Each prints its last line when all of it worked. */
const ordinary: readonly (readonly [string, Payload, string])[] = [
  [
    "git",
    {
      command: `set -e
git init -q a; cd a; git config user.email a@example.com; git config user.name a
echo 1 > f; git add f; git commit -qm one; git checkout -qb b; echo 2 > f; git commit -qam two
git clone -q . ../c; cd ../c; git log --oneline | wc -l`,
    },
    "2",
  ],
  [
    "pipes, jobs, locks, named pipes and archives in bash",
    {
      command: `set -e
seq 20 | xargs -P 4 -n 1 echo | sort -n | tail -1
mkfifo p; (echo through >p) & cat p
(flock 9; echo locked) 9>lock
for i in 1 2 3; do (sleep 0.1; echo $i >>done) & done; wait; test $(wc -l <done) = 3
tar -c done | gzip | tar -tz; ln -s done link; test "$(readlink link)" = done
echo '{"a": [1, 2]}' | jq -c .a`,
    },
    "[1,2]",
  ],
  ["a script that is made executable", { command: 'printf "#!/bin/sh\\necho ran" >s; chmod +x s; ./s' }, "ran"],
  [
    "Python's threads, with numpy in them",
    {
      language: "python",
      code: `import threading, numpy
out = []
threads = [threading.Thread(target=lambda: out.append(int((numpy.ones((200, 200)) @ numpy.ones((200, 200))).sum()))) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(out == [8_000_000] * 8)`,
    },
    "True",
  ],
  [
    "Python's processes",
    {
      language: "python",
      code: `import concurrent.futures, multiprocessing, subprocess
assert subprocess.run(["sh", "-c", "cat; exit 3"], input=b"x", capture_output=True).returncode == 3
with multiprocessing.Pool(3) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
with concurrent.futures.ProcessPoolExecutor(2) as pool: print(list(pool.map(abs, [-3])))`,
    },
    "[3]",
  ],
  [
    "pandas, matplotlib, SQLite, asyncio and memory maps",
    {
      language: "python",
      code: `import asyncio, mmap, sqlite3, matplotlib, pandas
matplotlib.use("Agg")
import matplotlib.pyplot as plt
frame = pandas.DataFrame({"a": [1, 2]}); frame.plot(); plt.savefig("/output/a.png")
assert sqlite3.connect("a.db").execute("select sqlite_version()").fetchone()
with open("m", "wb+") as f:
    f.truncate(4096); mmap.mmap(f.fileno(), 4096)[:1] = b"x"
print(asyncio.run(asyncio.sleep(0.01, int(frame.a.sum()))))`,
    },
    "3",
  ],
  [
    "a wheel that pip installs",
    {
      language: "python",
      code: `import base64, hashlib, subprocess, sys, zipfile
with zipfile.ZipFile("small-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("small.py", "answer = 42")
    wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n")
    wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("small-1.0.dist-info/RECORD", "")
subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-index", "--target", "site", "./small-1.0-py3-none-any.whl"], check=True)
sys.path.insert(0, "site")
import small
print(small.answer)`,
    },
    "42",
  ],
  [
    "Node's workers, children, files and a server on the loopback device",
    {
      language: "node",
      code: `const { Worker } = require("node:worker_threads");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs/promises"), http = require("node:http"), { once } = require("node:events");
(async () => {
  const worker = new Worker("require('node:worker_threads').parentPort.postMessage(21)", { eval: true });
  const [from] = await once(worker, "message");
  await fs.writeFile("f", execFileSync("echo", ["child"]));
  const server = http.createServer((_, answer) => answer.end("served")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const body = await (await fetch("http://127.0.0.1:" + server.address().port)).text();
  server.close();
  console.log(from, (await fs.readFile("f", "utf8")).trim(), body);
})();`,
    },
    "21 child served",
  ],
];

describe.each(["runc", "runsc"])("under %s", (runtime) => {
  const isGvisor = runtime === "runsc";

  test.each(ordinary)("%s", async (_name, payload, last) => {
    const result = await run(runtime, payload, { limits: { memory_mb: 512, cpus: 2 } });
    expect(result).toMatchObject({ reason: "ok", sandbox: { runtime }, output: { stderr: "" } });
    expect(result.output.stdout.trimEnd().split("\n").at(-1)).toBe(last);
  });

  test("the names of the loopback device are known, to every resolver, and no others are", async () => {
    const files = [{ path: "resolve", content_base64: goResolver.toString("base64"), executable: true }];
    const names = ["localhost", "a.test"];
    const code = `import socket, subprocess
def address(name):
    try: return sorted({one[4][0] for one in socket.getaddrinfo(name, 80)})
    except OSError: return "no address"
for name in ${JSON.stringify(names)}:
    print(name, address(name), subprocess.run(["/workspace/resolve", name], capture_output=True, text=True).stdout.strip())
print(socket.getnameinfo(("127.0.0.1", 80), 0)[0])`;
    const result = await run(runtime, { language: "python", code }, { files });
    expect(result).toMatchObject({ reason: "ok", output: { stderr: "" } });
    expect(result.output.stdout.trimEnd().split("\n")).toEqual([
      "localhost ['127.0.0.1', '::1'] 127.0.0.1 ::1",
      "a.test no address no address",
      "localhost",
    ]);
  });

  test("what it prints, its exit code, its files and its progress come out", async () => {
    const command = `echo out; echo err >&2; echo '{"progress": 0.5}' >&$TOOL_PROGRESS_FD
mkdir /output/d; echo kept >/output/d/f; ln -s /etc/passwd /output/link; exit 3`;
    const { reason, exit_code, output, metrics } = await run(runtime, { command });
    expect({ reason, exit_code }).toEqual({ reason: "nonzero_exit", exit_code: 3 });
    expect(output).toMatchObject({ stdout: "out\n", stderr: "err\n", artifacts: [{ path: "d/f", size_bytes: 5 }] });
    expect(metrics.source).toBe(isGvisor ? "sampled" : "cgroup");
  });

  test("figures that it does not know are null, not made up", async () => {
    const { metrics } = await run(runtime, { command: "sleep 0.2 & sleep 0.2; wait" });
    expect(metrics.pids_peak).toBeGreaterThanOrEqual(2);
    expect([metrics.cpu_ms === null, metrics.memory_peak_bytes === null]).toEqual([isGvisor, isGvisor]);
  });

  test("16 MiB of standard input come back whole", async () => {
    const hash = createHash("sha256");
    async function* noise(): AsyncGenerator<Uint8Array> {
      for (let piece = 0; piece < 16; piece += 1) {
        const bytes = randomBytes(mib);
        hash.update(bytes);
        yield bytes;
      }
    }
    const { output } = await run(runtime, { command: "tee /output/copy | sha256sum" }, { stdin: noise() });
    const sha256 = hash.digest("hex");
    expect(output.stdout).toContain(sha256);
    expect(output.artifacts).toMatchObject([{ path: "copy", size_bytes: 16 * mib, sha256 }]);
  });

  test("a sandbox that was let go of is taken over, and no byte is lost", async () => {
    await using sandboxes = dockerSandboxes(house.docker, { owner: await processOwner(), architecture: process.arch });
    const image = await house.parts.images.resolve("shell", never);
    if (image === null) throw new Error("the image shell is not allowed here");
    const first = await sandboxes.create({ image, runtime, limits: { ...defaultLimits, cpus: 2 } }, never);
    const argv = ["sh", "-c", "head -c 33554432 /dev/urandom | tee /workspace/noise; sha256sum /workspace/noise >&2"];
    const command = { argv, env: { PATH: "/usr/bin:/bin" }, cwd: "/workspace", stdin: false };
    await first.start({ ...command, deadlineMs: 60_000, graceMs: 1000 }, never);
    const hash = createHash("sha256");
    let told = "";
    let bytes = 0;
    let takenOver = 0;
    for (let sandbox = first; ; ) {
      let isOver = false;
      for await (const batch of sandbox.events()) {
        for (const event of batch) {
          if (event.kind === "gone") throw new Error(event.gone.diagnosis);
          if (event.kind === "stdout") bytes += hash.update(event.bytes) && event.bytes.length;
          if (event.kind === "stderr") told += event.bytes.toString();
          if (event.kind === "exit") {
            expect([event.exit.code, event.exit.cpuUs === null]).toEqual([0, isGvisor]);
            isOver = true;
          }
          sandbox.ack(event.seq);
        }
        if (isOver || bytes > (takenOver + 1) * 6 * mib) break;
      }
      if (isOver) {
        await sandbox[Symbol.asyncDispose]();
        break;
      }
      const from = sandbox.resumePoint();
      await sandbox.detach();
      sandbox = await sandboxes.attach(from, never);
      takenOver += 1;
    }
    expect(told).toContain(hash.digest("hex"));
    expect(takenOver).toBeGreaterThanOrEqual(4);
  });

  test("a task that ignores SIGTERM ends by SIGKILL, and what it started with it", async () => {
    const command = "trap '' TERM; echo kept >/output/f; sleep 60 & sleep 60";
    const { reason, signal, output } = await run(runtime, { command }, { limits: { timeout_seconds: 1 } });
    expect({ reason, signal }).toEqual({ reason: "timeout", signal: "SIGKILL" });
    expect(output.artifacts).toMatchObject([{ path: "f" }]);
  });

  test("a program without measure is oom; under gVisor the sandbox goes with it", async () => {
    const limits = { memory_mb: 32, disk_mb: 8, output_mb: 1 };
    const command = "echo kept >/output/f; echo said; sleep 0.5; tail /dev/zero";
    const result = await run(runtime, { command }, { limits });
    expect(result).toMatchObject({ status: "failed", reason: "oom", output: { stdout: "said\n" } });
    expect(result.output.artifacts.map(({ path }) => path)).toEqual(isGvisor ? [] : ["f"]);
  });

  test("a fork bomb meets its limit; a task beside it does not", async () => {
    const bomb = { language: "python", code: "import os\nwhile True: os.fork()" };
    const [{ reason, metrics }, beside] = await Promise.all([
      run(runtime, bomb, { limits: { pids: 64, timeout_seconds: 10 } }),
      run(runtime, { command: "for i in 1 2 3 4 5; do (echo $i); done | tail -1" }),
    ]);
    expect(reason).toBe("pids_limit");
    expect(metrics.pids_peak).toBeLessThanOrEqual(64);
    expect(beside).toMatchObject({ reason: "ok", output: { stdout: "5\n" } });
  });

  test("300 processes at once are no strain where 400 are allowed", async () => {
    const code = `import subprocess, time
running = [subprocess.Popen(["sleep", "60"]) for _ in range(300)]
time.sleep(1)
print(sum(one.poll() is None for one in running))`;
    const limits = { pids: 400, memory_mb: 1024, timeout_seconds: 60 };
    const { reason, output } = await run(runtime, { language: "python", code }, { limits });
    expect([reason, output.stdout]).toEqual(["ok", "300\n"]);
  });

  test("a full disk is disk_full", async () => {
    const result = await run(runtime, { command: "head -c 64M /dev/zero >f" }, { limits: { disk_mb: 8 } });
    expect(result.reason).toBe("disk_full");
    expect(result.output.stderr).toContain("No space left on device");
  });

  test("files without number end: at the limit of inodes, or under gVisor at the limit of memory", async () => {
    const command = "i=0; while : >/tmp/$i; do i=$((i + 1)); done; exit 1";
    const limits = { inodes: 1000, memory_mb: 16, disk_mb: 1, output_mb: 1, timeout_seconds: 60 };
    const { reason } = await run(runtime, { command }, { limits });
    expect(reason).toBe(isGvisor ? "oom" : "disk_full");
  });

  test("/output over its cap is output_limit, with what fitted", async () => {
    const command = "echo kept >/output/a; truncate -s 4M /output/hole";
    const { reason, output } = await run(runtime, { command }, { limits: { output_mb: 1 } });
    expect([reason, output.artifacts.map(({ path }) => path)]).toEqual(["output_limit", ["a"]]);
  });
});

test("a runtime that is allowed but not on the engine is refused with those that are, and nothing is stored", async () => {
  await using other = await testHouse({ TOOL_EXECUTOR_RUNTIMES: "runc,kata" });
  const task = other.parseTask({ task_id: "t", tool_name: "shell", payload: { command: "true" }, runtime: "kata" });
  const following = { watcher: () => undefined, stdin: null };
  await expect(submit(other.parts, task, following, never)).rejects.toMatchObject({
    code: "policy_denied",
    message: expect.stringMatching(/^runtime "kata": this engine does not have it; it has .*runc, runsc/),
    hint: expect.stringContaining("toolx doctor"),
  });
  expect(await other.parts.store.get({ tenantId: "default", taskId: "t" }, never)).toBeNull();
});
