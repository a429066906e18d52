import type { Exit } from "../../model/exit.ts";
import { bytesPerMb, type LimitName, overheadMemoryMb, overheadPids } from "../../model/limits.ts";

/** What of a sandbox depends on the runtime it runs under. Everything that is not here is the same under all of them. */
export interface RuntimeTraits {
  /** Seen working by our own tests. One that is not is used as the engine has it, with the traits of its kind. */
  readonly isTested: boolean;
  /**
   * `by_rule`: a refused call answers the error that its rule names. `always_eperm`: it answers EPERM whatever the rule
   * says, so that nothing may be refused from which libraries turn to another way on ENOSYS only.
   */
  readonly refusal: "by_rule" | "always_eperm";
  /** What the engine is to allow of processes and threads, so that the task's own limit is always met before it. */
  readonly enginePids: (pids: number) => number;
  /** Whether the figures for memory and CPU time that can be read inside are what the host spent. */
  readonly measuresInside: boolean;
  /** Limits that stay as the sandbox was made with them. The file systems are mounted at its start, whatever the runtime. */
  readonly fixedLimits: readonly LimitName[];
  /** What a sandbox without a task takes, at most. */
  readonly idleMemoryBytes: number;
  /**
   * Whether a new network namespace comes with a loopback device that is up. Where it does, the engine's own part in a container's network,
   * which takes half of a start, can be left out; elsewhere nothing inside could reach even itself.
   */
  readonly raisesLoopback: boolean;
  /** Whether root on the host sees a sandbox's file systems, and can connect to a socket there. */
  readonly isSeenFromHost: boolean;
  /** Whether a sandbox starts its second program faster than its first. */
  readonly startsFasterTwice: boolean;
  /** Whether the file systems of a sandbox hold no more than `inodes` files. */
  readonly boundsInodes: boolean;
  /** How an operator adds it to the engine. */
  readonly howToAdd: string;
  /** What to look at first when a wall does not hold under it. */
  readonly whenAWallFalls: string;
}

const fileSystemLimits: readonly LimitName[] = ["disk_mb", "output_mb", "inodes"];

const runc: RuntimeTraits = {
  isTested: true,
  refusal: "by_rule",
  enginePids: (pids) => pids + overheadPids,
  measuresInside: true,
  fixedLimits: fileSystemLimits,
  idleMemoryBytes: overheadMemoryMb * bytesPerMb,
  raisesLoopback: true,
  isSeenFromHost: true,
  startsFasterTwice: false,
  boundsInodes: true,
  howToAdd: "it comes with the engine: reinstall the engine's package runc",
  whenAWallFalls: "run nothing here, and report it with the versions of engine and runtime",
};

/**
 * gVisor: its own kernel (the sentry) answers the task's calls.
 *
 * - The engine's limit of processes counts the sentry's threads on the host. Seen: some 36 at rest and two for each process
 *   inside; with none left the whole sandbox dies. So it gets ample room, and the fence is the task's own limit inside.
 * - The sentry's figures are its own bookkeeping. Seen: 600 MB resident in a sandbox that the host held to 114 MB; CPU time
 *   a third more than the host's, because waiting for a processor counts too.
 * - `nr_inodes` of a tmpfs is passed over: files without number end at the memory limit.
 * - The host kills the sentry when memory runs out, and sandbox-init with it: such a task has no exit and no artifacts.
 * - What a task can read of its memory and processors is fixed at the sandbox's start, and older versions have no way to change limits.
 * - SIGKILL from inside reaches PID 1.
 * - The first exec of a sandbox costs up to 2 ms more than the next: the address space of a process that has ended is used again, and the loader and the
 *   libraries that it has read it knows.
 * - It takes over the addresses that it finds in the network namespace, and a new one has none.
 */
const gvisor: RuntimeTraits = {
  isTested: true,
  refusal: "always_eperm",
  enginePids: (pids) => 1024 + 3 * pids,
  measuresInside: false,
  fixedLimits: [...fileSystemLimits, "cpus", "memory_mb", "pids"],
  idleMemoryBytes: 2 * overheadMemoryMb * bytesPerMb,
  raisesLoopback: false,
  isSeenFromHost: false,
  startsFasterTwice: true,
  boundsInodes: false,
  howToAdd:
    'name it in /etc/docker/daemon.json, {"runtimes": {"runsc": {"path": "/usr/local/bin/runsc", "runtimeArgs": ["--platform=systrap", "--oci-seccomp"]}}}, and reload the engine (SIGHUP): docs/operations.md#gvisor',
  whenAWallFalls:
    "run nothing here; look first whether the engine starts it with --oci-seccomp, without which it filters no call: docs/operations.md#gvisor",
};

const kata: RuntimeTraits = {
  ...runc,
  isTested: false,
  raisesLoopback: false,
  isSeenFromHost: false,
  howToAdd:
    "install Kata Containers, name it under runtimes in /etc/docker/daemon.json, and reload the engine (SIGHUP)",
};

const unknown: RuntimeTraits = {
  ...runc,
  isTested: false,
  raisesLoopback: false,
  howToAdd: "install it, name it under runtimes in /etc/docker/daemon.json, and reload the engine (SIGHUP)",
};

/** By the engine's name for it. `runsc-…` and `kata-…`, as operators name a second set of arguments, are taken for their kind. */
export function runtimeTraits(name: string): RuntimeTraits {
  if (name === "runc") return runc;
  if (name === "runsc" || name.startsWith("runsc-")) return gvisor;
  if (name === "kata" || name.startsWith("kata-")) return kata;
  return unknown;
}

/** The exit without the figures that this runtime does not know: none is better than a wrong one. */
export function withKnownFigures(exit: Exit, { measuresInside }: RuntimeTraits): Exit {
  return measuresInside ? exit : { ...exit, cpuUs: null, memoryPeakBytes: null };
}

/** What the engine calls the plain names of its runtimes; those of its own inner workings are left out. */
export function plainRuntimes(names: readonly string[]): readonly string[] {
  return names.filter((name) => !name.startsWith("io.containerd."));
}
