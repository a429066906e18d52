import { execFileSync } from "node:child_process";
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "vitest";
import type { House } from "../../../src/app/house.ts";
import { testHouse } from "../../support/house.ts";
import type { Ground, Request } from "../ground.ts";
import { expectReason, type HostileCase, hostile, isGvisor, python, shell } from "../hostile-case.ts";

/** Runs `attacker` until it has printed its first line, `neighbour` beside it, and then lets the attacker end. */
async function beside(ground: Ground, attacker: Request, neighbour: Request) {
  const printed = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  async function* stdin(): AsyncGenerator<Uint8Array> {
    await release.promise;
    yield Buffer.from("end\n");
  }
  const attacking = ground.run(attacker, {
    stdin: stdin(),
    watcher: (event) => {
      if (event.kind === "output" && event.stream === "stdout") printed.resolve();
    },
  });
  await Promise.race([printed.promise, attacking]);
  const met = await ground.run(neighbour);
  release.resolve();
  return { attacked: (await attacking).result, met: met.result };
}

const pipes = `
import errno, fcntl, os
# A process may hold 1024 descriptors: five of them make 2000 pipes.
ready, done = os.pipe(), os.pipe()
for _ in range(5):
    if os.fork() == 0:
        grown = 0
        for _ in range(400):
            ends = os.pipe()
            try: fcntl.fcntl(ends[0], 1031, 1 << 20); grown += 1
            except PermissionError: pass
        os.write(ready[1], b"%6d" % grown)
        os.read(done[0], 1)
        os._exit(0)
print(sum(int(os.read(ready[0], 6)) for _ in range(5)), flush=True)
input()
os.write(done[1], b"12345")
`;

const inotify = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
made = 0
while made < 129 and libc.inotify_init1(0) >= 0: made += 1
print(made, flush=True)
`;

export const neighbourRows: readonly HostileCase[] = [
  hostile(
    "A15",
    "2000 pipes of 1 MiB",
    async (ground) => {
      const ask = python("import fcntl, os; print(fcntl.fcntl(os.pipe()[0], 1032))");
      const { attacked, met } = await beside(ground, python(pipes), ask);
      expectReason(attacked, "ok");
      // The kernel's soft limit is 64 MiB of pipes for one user: the attacker has met it.
      if (!isGvisor(attacked)) expect(Number(attacked.output.stdout)).toBeLessThanOrEqual(64);
      expect(met.output.stdout.trim()).toBe("65536");
    },
    { isBrief: true },
  ),
  hostile(
    "A16",
    "129 inotify instances",
    async (ground) => {
      const { attacked, met } = await beside(ground, python(`${inotify}input()`), python(inotify));
      expectReason(attacked, "ok");
      // As many as there are for one user, or all it asked for where the host allows more.
      expect(Number(attacked.output.stdout)).toBeGreaterThan(100);
      expect(Number(met.output.stdout)).toBeGreaterThan(0);
    },
    { isBrief: true },
  ),
  hostile("A18", "sync without end, eight times, on processors of their own", async (ground) => {
    await expectNoSync(ground);
    const cpus = availableParallelism();
    expect(cpus, "processors: one for the tasks, one to measure on").toBeGreaterThan(1);
    await using house = await testHouse({ TOOL_EXECUTOR_SANDBOX_CPUS: String(cpus - 1) });
    // The scheduler would wake us on the tasks' processor now and then, at rest as well as beside them.
    using _kept = onProcessors(`0-${cpus - 2}`);
    const best = await bestOf(5, 2, async () => {
      const idle = await slowFsyncMs(ground, () => false);
      return (await slowFsyncBeside(ground, "sync", house)) / idle;
    });
    expect(best, "the host's fsync, 99th percentile over that at rest").toBeLessThan(2);
  }),
  hostile("A18", "sync without end, eight times, on every processor", async (ground) => {
    await expectNoSync(ground);
    // The measure is the same load without the sync: what a busy processor does to anybody is no fault of sync.
    const best = await bestOf(5, 2, async () => {
      const busy = await slowFsyncBeside(ground, "/bin/true");
      return (await slowFsyncBeside(ground, "sync")) / busy;
    });
    expect(best, "the host's fsync, 99th percentile over that beside a load that does not sync").toBeLessThan(2);
  }),
];

async function expectNoSync(ground: Ground): Promise<void> {
  const { result } = await ground.run(shell(`perl -e '$! = 0; syscall(162); print $! + 0'`));
  const errno = isGvisor(result) ? "0" : "38";
  expect(result.output.stdout, "errno of sync(2): ENOSYS, or done by a kernel without a disk").toBe(errno);
}

/** This process, all its threads, runs there until dispose. */
function onProcessors(list: string): Disposable {
  const taskset = (...args: readonly string[]): string =>
    execFileSync("taskset", [...args, String(process.pid)], { encoding: "utf8" });
  const before = /:\s*([\d,-]+)\s*$/m.exec(taskset("-pc"))?.[1];
  if (before === undefined) throw new Error("taskset says nothing of this process's processors");
  taskset("-apc", list);
  return { [Symbol.dispose]: () => void taskset("-apc", before) };
}

/** The least of up to so many measurements, the first that is low enough. */
async function bestOf(tries: number, below: number, measure: () => Promise<number>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let count = 0; count < tries && best >= below; count += 1) best = Math.min(best, await measure());
  return best;
}

/** How slow this process's `fsync` is while a task runs `command` eight times without end, ms. */
async function slowFsyncBeside(ground: Ground, command: string, house?: House): Promise<number> {
  const begun = Promise.withResolvers<void>();
  let isOver = false;
  const load = shell(`for i in 1 2 3 4 5 6 7 8; do while :; do ${command}; done & done; wait`, { timeout_seconds: 2 });
  const running = ground
    .run(load, {
      ...(house ? { house } : {}),
      watcher: (event) => {
        if (event.kind === "state" && event.state === "RUNNING") begun.resolve();
      },
    })
    .finally(() => {
      isOver = true;
    });
  await Promise.race([begun.promise, running]);
  const slow = await slowFsyncMs(ground, () => isOver);
  expectReason((await running).result, "timeout");
  return slow;
}

/** The 99th percentile of up to 2000 `fsync`s of this process, ms. */
async function slowFsyncMs(ground: Ground, isOver: () => boolean): Promise<number> {
  const file = openSync(join(ground.house.config.dataDir, "fsync"), "w");
  const times: number[] = [];
  try {
    for (let count = 0; count < 2000 && !isOver(); count += 1) {
      writeSync(file, "x".repeat(4096), 0);
      const startedAt = performance.now();
      fsyncSync(file);
      times.push(performance.now() - startedAt);
      await nextTurn();
    }
    ftruncateSync(file);
  } finally {
    closeSync(file);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] ?? Number.NaN;
}
