import { statfs } from "node:fs/promises";
import { expect } from "vitest";
import { cgroupMemoryBytes, defaultLimitRules } from "../../../src/model/limits.ts";
import type { Result } from "../../../src/model/result.ts";
import { hostMemoryBytes } from "../../support/process-facts.ts";
import {
  attack,
  brief,
  cleanupMs,
  expectReason,
  type HostileCase,
  hostile,
  isGvisor,
  program,
  python,
  shell,
} from "../hostile-case.ts";

const mib = 1024 * 1024;
const defaultPids = defaultLimitRules.pids.byDefault;

const bomb = ":(){ :|:& };:";
const forker = "import os\nwhile 1:\n try: (os.fork() or os.setsid())\n except OSError: pass";
const hog = "a=[]\nwhile 1:a.append(bytearray(1<<20))";
const inodeEater = "i=0;while :;do :>/tmp/$i;i=$((i+1));done";

/** Samples of a crowd that dies and is born: at its limit, or as far below it as counts for `pids_limit` (a sixth). */
function expectFull({ metrics }: Result, limit: number): void {
  expect(metrics.pids_peak).toBeLessThanOrEqual(limit);
  expect(metrics.pids_peak).toBeGreaterThan(limit - limit / 6);
}

const forkBombs: readonly HostileCase[] = [
  attack(
    "A1",
    "fork bomb whose first process ends at once",
    program(["bash", "-c", bomb], { pids: 64 }),
    ({ result }) => {
      // Its main process is done in no time and may end well; what it started must end with it.
      expectReason(result, "ok", "pids_limit", "timeout");
      expect(result.metrics.pids_peak).toBeLessThanOrEqual(64);
    },
    brief,
  ),
  attack(
    "A1",
    "fork bomb whose first process stays",
    program(["bash", "-c", `${bomb}; while :; do :; done`], { pids: 64, timeout_seconds: 2 }),
    ({ result }) => {
      expectReason(result, "timeout");
      expectFull(result, 64);
    },
  ),
  attack(
    "A1",
    "fork bomb whose first process fails for want of processes",
    python("import os\nwhile True: os.fork()", { pids: 64 }),
    ({ result }) => {
      expectReason(result, "pids_limit");
      expect(result.metrics.pids_peak).toBeLessThanOrEqual(64);
    },
    brief,
  ),
  attack("A2", "fork and setsid for ever", python(forker, { timeout_seconds: 2 }), ({ result }) => {
    // To fork without end costs more memory there than 128 processes may have.
    if (isGvisor(result)) return expectReason(result, "timeout", "oom");
    expectReason(result, "timeout");
    expectFull(result, defaultPids);
    expect(
      (result.metrics.run_ms ?? 0) - 2000 + cleanupMs(result),
      "from the deadline to the last process",
    ).toBeLessThan(2000);
  }),
];

const memory: readonly HostileCase[] = [
  attack(
    "A3",
    "memory hog",
    python(hog, { memory_mb: 64 }),
    ({ result }) => {
      expectReason(result, "oom");
      const limits = result.sandbox?.limits;
      if (limits === undefined) throw new Error("no sandbox in the result");
      const { memory_peak_bytes: peakBytes } = result.metrics;
      if (isGvisor(result)) expect(peakBytes).toBeNull();
      else expect(peakBytes).toBeLessThanOrEqual(cgroupMemoryBytes(limits));
    },
    brief,
  ),
  attack(
    "A7",
    "a full /dev/shm",
    shell("head -c 1G /dev/zero >/dev/shm/x; stat -c %s /dev/shm/x"),
    ({ result }) => expect(Number(result.output.stdout)).toBeLessThanOrEqual(16 * mib),
    brief,
  ),
  hostile(
    "A7",
    "2 GiB of System V shared memory",
    async (ground) => {
      const before = hostMemoryBytes("Shmem");
      // Perl's shmwrite touches what it writes: half of the segment is more than the task may have.
      const { result } = await ground.run(
        shell(
          "id=$(ipcmk -M 2G | grep -o '[0-9]*$'); perl -e 'for (0..1023) { shmwrite(shift // $ARGV[0], q(x) x (1<<20), $_<<20) or die $! }' $id $id",
          {
            memory_mb: 64,
          },
        ),
      );
      expectReason(result, "oom", "nonzero_exit");
      expect(result.exit_code).not.toBe(0);
      expect(hostMemoryBytes("Shmem") - before, "left on the host").toBeLessThan(64 * mib);
    },
    brief,
  ),
  attack(
    "A7",
    "256 message queues",
    python(
      `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
made = 0
for i in range(256):
    if libc.mq_open(b"/q%d" % i, os.O_CREAT | os.O_RDWR, 0o600, None) < 0: break
    made += 1
print(made, os.strerror(ctypes.get_errno()))`,
    ),
    ({ result }) => {
      expectReason(result, "ok");
      const [made, ...why] = result.output.stdout.trim().split(" ");
      // Empty ones, in a kernel that is gone with the sandbox: the task's memory is their bound.
      if (isGvisor(result)) return;
      expect(Number(made)).toBeLessThan(64);
      expect(why.join(" ")).toBe("Too many open files");
    },
    brief,
  ),
];

const disk: readonly HostileCase[] = [
  hostile(
    "A5",
    "100 GB into /tmp",
    async (ground) => {
      const freeBytes = async (): Promise<number> => {
        const { bavail, bsize } = await statfs(ground.house.config.dataDir);
        return bavail * bsize;
      };
      const before = await freeBytes();
      const { result } = await ground.run(shell("head -c 100G /dev/zero >/tmp/x"));
      expectReason(result, "disk_full");
      expect(result.output.stderr).toContain("No space left on device");
      // Other programs write to this disk too, but no 100 GB.
      expect(before - (await freeBytes()), "gone from the host's disk").toBeLessThan(1024 * mib);
    },
    brief,
  ),
  attack(
    "A6",
    "empty files without end",
    program(["sh", "-c", inodeEater]),
    ({ result }) => {
      if (isGvisor(result)) return expectReason(result, "oom", "timeout");
      expectReason(result, "disk_full");
      const made = Number(/\/tmp\/(\d+): No space left/.exec(result.output.stderr)?.[1]);
      expect(made).toBeLessThanOrEqual(defaultLimitRules.inodes.byDefault);
    },
    brief,
  ),
  attack(
    "A6",
    "empty files without end, by a shell that goes on",
    program(["bash", "-c", inodeEater], { timeout_seconds: 2 }),
    ({ result }) => {
      expectReason(result, "timeout", "disk_full");
      if (!isGvisor(result)) expect(result.output.stderr).toContain("No space left on device");
    },
  ),
  attack(
    "A8",
    "every folder that can be written",
    shell(
      "find / -xdev -type d -writable 2>/dev/null; find / -type d -writable -not -path '/proc/*' 2>/dev/null; true",
    ),
    ({ result }) => {
      const found = new Set(result.output.stdout.trim().split("\n"));
      const queues = isGvisor(result) ? [] : ["/dev/mqueue"];
      expect([...found].sort()).toEqual([...queues, "/dev/shm", "/output", "/run/toolx", "/tmp", "/workspace"]);
    },
    brief,
  ),
  attack(
    "A12",
    "a hole of 1 TB in /output",
    shell("truncate -s 1T /output/a"),
    ({ result }) => {
      expectReason(result, "nonzero_exit", "output_limit");
      expect(result.signal).toBe("SIGXFSZ");
      expect(result.output.artifacts.map(({ size_bytes }) => size_bytes)).toEqual([0]);
    },
    brief,
  ),
  attack(
    "A12",
    "a hole just larger than /output",
    shell("truncate -s 100M /output/a"),
    ({ result }) => {
      expectReason(result, "output_limit");
      expect(result.exit_code).toBe(0);
      expect(result.output.artifacts).toEqual([]);
    },
    brief,
  ),
  attack(
    "A12",
    "3 GiB written to /output",
    shell("head -c 3G /dev/zero >/output/b"),
    ({ result }) => {
      expectReason(result, "disk_full", "output_limit");
      expect(result.output.artifacts[0]?.size_bytes ?? 0).toBeLessThanOrEqual(64 * mib);
    },
    brief,
  ),
  attack(
    "A14",
    "folders 10,000 deep",
    shell(
      "for top in /workspace /output; do cd $top; perl -e 'for (1..10000) { mkdir q(d) or die $!; chdir q(d) or die $! }'; done",
      { inodes: 20_000 },
    ),
    ({ result }) => {
      expectReason(result, "output_limit");
      expect(result.exit_code).toBe(0);
      expect(cleanupMs(result), "collection and removal").toBeLessThan(2000);
    },
    brief,
  ),
  attack(
    "A19",
    "a core dump",
    shell("cd /output; ulimit -c unlimited; kill -SEGV $$"),
    ({ result }) => {
      expectReason(result, "nonzero_exit");
      expect(result.signal).toBe("SIGSEGV");
      expect(result.output.artifacts).toEqual([]);
    },
    brief,
  ),
];

const kernel: readonly HostileCase[] = [
  attack(
    "A10",
    "64 busy threads",
    python(
      `import hashlib, threading
block = bytes(1 << 20)
def burn():
    while True: hashlib.sha256(block)
for _ in range(64): threading.Thread(target=burn).start()`,
      { timeout_seconds: 4, cpus: 0.5 },
    ),
    ({ result }) => {
      expectReason(result, "timeout");
      const { cpu_ms, run_ms } = result.metrics;
      // No figure there: the neighbour, and the quota's own probe in test/e2e/doctor.test.ts, are the measure.
      if (isGvisor(result)) return expect(cpu_ms).toBeNull();
      // Beyond the quota's own tolerance: one period of 100 ms in which it is noticed.
      expect(cpu_ms ?? Number.NaN).toBeLessThanOrEqual((run_ms ?? 0) * 0.5 * 1.1 + 100);
    },
  ),
  attack(
    "A11",
    "files until none can be opened, then 10,000 sockets",
    python(
      `import errno, os, socket
def fill(make):
    held = []
    for _ in range(10000):
        try: held.append(make())
        except OSError as e: return len(held), errno.errorcode[e.errno]
    return len(held), "no end"
print(*fill(lambda: open("/etc/passwd")), *fill(socket.socket))`,
    ),
    ({ result }) => {
      expectReason(result, "ok");
      const [files, filesEnd, sockets, socketsEnd] = result.output.stdout.trim().split(" ");
      expect([filesEnd, socketsEnd]).toEqual(["EMFILE", "EMFILE"]);
      expect(Math.max(Number(files), Number(sockets))).toBeLessThanOrEqual(1024);
    },
    brief,
  ),
  hostile("A20", "10,000,000 looks at names that are not there", async (ground) => {
    const before = hostMemoryBytes("Slab");
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, hostMemoryBytes("Slab") - before);
    }, 50);
    try {
      const limits = { timeout_seconds: 12, memory_mb: 64, disk_mb: 8, output_mb: 8 };
      const { result } = await ground.run(shell(`perl -e 'stat "/nowhere".rand() for 1..1e7'`, limits));
      expectReason(result, "timeout", "ok");
    } finally {
      clearInterval(watch);
    }
    expect(most, "growth of the host's slab").toBeLessThan(256 * mib);
  }),
];

export const exhaustionRows: readonly HostileCase[] = [...forkBombs, ...memory, ...disk, ...kernel];
