import type { RuntimeTraits } from "../adapters/docker/runtimes.ts";
import { bytesPerMb, cgroupMemoryBytes } from "../model/limits.ts";
import type { Result } from "../model/result.ts";
import { kernelProbe } from "./kernel-probe.ts";
import type { Check, Probe } from "./probe.ts";
import { wallChecks, wallScript } from "./wall-probe.ts";

/**
 * Every limit of a task but the maxima, and every wall that can be seen from inside, tried in the shell image.
 * @param graceMs of the installation: what a task that is to end may take longer.
 * @param runtime what can be had of the one that is tried.
 */
export const probes = (graceMs: number, runtime: RuntimeTraits): readonly Probe[] => [
  wallTimeProbe(graceMs),
  memoryProbe,
  processesProbe,
  diskProbe,
  inodesProbe(runtime),
  storedOutputProbe,
  artifactsProbe,
  cpuProbe,
  ...wallProbes(runtime),
];

/** Those of the walls: each a short task that needs next to nothing. */
export const wallProbes = (runtime: RuntimeTraits): readonly Probe[] => [
  { command: wallScript, limits: {}, checks: wallChecks(runtime) },
  kernelProbe(runtime),
];

/** Beyond deadline and grace: to notice, to kill and to say so, on a busy host. */
const slackMs = 2_000;

const wallTimeProbe = (graceMs: number): Probe => ({
  command: "trap '' TERM; sleep 60",
  limits: { timeout_seconds: 1 },
  checks: [
    {
      name: "wall time",
      tried: "sleep 60 that ignores SIGTERM, under timeout_seconds 1",
      advice: "tasks outlive their deadline: look at the host's load, then at the engine's log",
      otherwise: "fail",
      look: ({ reason, metrics: { run_ms: runMs } }) => ({
        holds: reason === "timeout" && runMs !== null && runMs >= 1000 && runMs <= 1000 + graceMs + slackMs,
        seen: `${reason} after ${runMs ?? "unknown"} ms`,
      }),
    },
  ],
});

const memoryProbe: Probe = {
  command: "tail /dev/zero",
  limits: { memory_mb: 32, disk_mb: 8, output_mb: 1 },
  checks: [
    {
      name: "memory",
      tried: "a program without measure, under memory_mb 32",
      advice: "the cgroup does not bound memory: enable the memory controller (cgroup_enable=memory) on the host",
      otherwise: "fail",
      look: ({ reason, sandbox, metrics: { memory_peak_bytes: peak } }) => ({
        holds: reason === "oom" && (peak === null || (sandbox !== null && peak <= cgroupMemoryBytes(sandbox.limits))),
        seen: `${reason}, peak ${peak === null ? "unknown" : `${Math.round(peak / bytesPerMb)} MiB`}`,
      }),
    },
  ],
};

const processesProbe: Probe = {
  command: "exec perl -e 'for (1..64) { defined(my $p = fork) or exit 7; $p or do { sleep 30; exit } }'",
  limits: { pids: 16 },
  checks: [
    {
      name: "processes",
      tried: "64 processes, under pids 16",
      advice: "neither the user's nor the cgroup's limit of processes holds: enable the pids controller on the host",
      otherwise: "fail",
      look: ({ reason, metrics: { pids_peak: peak } }) => ({
        holds: reason === "pids_limit" && (peak === null || peak <= 16),
        seen: `${reason}, ${peak ?? "unknown"} at once`,
      }),
    },
  ],
};

const diskProbe: Probe = {
  command: "head -c 64M /dev/zero > /workspace/full",
  limits: { disk_mb: 8 },
  checks: [reasonCheck("disk bytes", "64 MiB into /workspace, under disk_mb 8", "disk_full")],
};

const inodesProbe = ({ boundsInodes }: RuntimeTraits): Probe => {
  const check = reasonCheck("disk inodes", "200 files in /tmp, under inodes 64", "disk_full");
  const advice = "this runtime does not count files: files without number end at the task's memory limit, as oom";
  return {
    command: "for i in $(seq 200); do : > /tmp/$i || exit 1; done",
    limits: { inodes: 64 },
    checks: [boundsInodes ? check : { ...check, otherwise: "warn", advice }],
  };
};

function reasonCheck(name: string, tried: string, wanted: Result["reason"]): Check {
  return {
    name,
    tried,
    advice: "the engine does not honour the sizes of tmpfs mounts: look at its version and storage",
    otherwise: "fail",
    look: ({ reason }) => ({ holds: reason === wanted, seen: reason }),
  };
}

const writtenBytes = 4 * bytesPerMb;

const storedOutputProbe: Probe = {
  command: `head -c ${writtenBytes} /dev/zero`,
  limits: { log_mb: 1 },
  checks: [
    {
      name: "stored output",
      tried: "4 MiB of output, under log_mb 1",
      advice: "output is lost or stored without bound: please report this with the engine's version",
      otherwise: "fail",
      look: ({ reason, output: { truncated, stdout_bytes: counted } }) => ({
        holds: reason === "ok" && truncated && counted === writtenBytes,
        seen: `${reason}, ${counted} bytes counted, ${truncated ? "the middle left out" : "all of it stored"}`,
      }),
    },
  ],
};

const artifactsProbe: Probe = {
  command: "echo kept > /output/a; truncate -s 4M /output/hole",
  limits: { output_mb: 1, disk_mb: 8 },
  checks: [
    {
      name: "artifacts",
      tried: "a small file and one of 4 MiB, under output_mb 1",
      advice: "artifacts are kept without bound: please report this with the engine's version",
      otherwise: "fail",
      look: ({ reason, exit_code: exitCode, output: { artifacts } }) => ({
        holds: reason === "output_limit" && exitCode === 0 && artifacts.map(({ path }) => path).join() === "a",
        seen: `${reason}, kept ${artifacts.map(({ path }) => path).join(", ") || "nothing"}`,
      }),
    },
  ],
};

const cpuShare = 0.25;

/**
 * Prints the time, ms, that it was really running: a loop that looks at the clock sees each pause as a jump. Shorter jumps than
 * 2 ms are not pauses, and quotas pause for longer.
 */
const busyLoop = `
use Time::HiRes 'time';
my ($begin, $had) = (time, 0);
my $last = $begin;
while ($last - $begin < 1.5) { my $now = time; my $step = $now - $last; $had += $step if $step < 0.002; $last = $now }
printf "%d\\n", 1000 * $had;
`;

const cpuProbe: Probe = {
  command: `for i in 1 2; do perl -e "$BUSY" & done; wait; true`,
  env: { BUSY: busyLoop },
  limits: { cpus: cpuShare },
  checks: [
    {
      name: "CPU quota",
      tried: `two busy loops, under cpus ${cpuShare}`,
      advice: "the cgroup does not bound CPU: enable the cpu controller with CFS quotas on the host",
      otherwise: "fail",
      look: ({ metrics: { cpu_ms: cpuMs, run_ms: runMs }, output: { stdout } }) => {
        // Where the runtime gives no figure, what the loops saw themselves; pauses too short for them to see are in it.
        const loops = stdout.trim().split("\n");
        const hadMs = cpuMs ?? (loops.length === 2 ? Number(loops[0]) + Number(loops[1]) : Number.NaN);
        const tolerance = cpuMs === null ? 1.5 : 1.1;
        if (runMs === null || runMs === 0 || Number.isNaN(hadMs))
          return { holds: false, seen: "CPU time is not known" };
        // A quota is given out in slices of 100 ms; one of them may be begun at either end.
        const most = runMs * cpuShare * tolerance + 2 * 100 * cpuShare;
        return { holds: hadMs <= most, seen: `${Math.round((100 * hadMs) / runMs)} % of one CPU` };
      },
    },
  ],
};
