import { randomInt } from "node:crypto";
import type Dockerode from "dockerode";
import { bytesPerMb, cgroupMemoryBytes, type Limits } from "../../model/limits.ts";
import type { SandboxSpec } from "../../ports/sandbox.ts";
import type { ChangedLimits } from "./engine.ts";
import { type ImageDeclarations, volumeMounts } from "./image-declarations.ts";
import { labelsOf, type OwnershipLabels } from "./labels.ts";
import { readonlyPaths, unreadablePaths } from "./masked-paths.ts";
import { runtimeTraits } from "./runtimes.ts";
import type { SeccompProfile } from "./seccomp.ts";

/** The user a sandbox runs as, inside and outside: the engine maps nothing. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** What the installation decides about every sandbox; nothing of it comes from a request. */
export interface SandboxPolicy {
  readonly labels: OwnershipLabels;
  readonly seccomp: SeccompProfile;
  /** What the image asks for beside its files; all of it is turned down or made harmless. */
  readonly declared: ImageDeclarations;
  /** Processors that sandboxes run on, such as `1-3,6`; not there or empty: all of them. */
  readonly cpuset?: string;
}

/** The engine knows this field since API 1.40; the client's types do not. */
export type SandboxHostConfig = Dockerode.HostConfig & { readonly CgroupnsMode: "private" };

/**
 * The whole request to the engine for one sandbox. Pure: same arguments, same answer.
 *
 * @throws ExecutorError image, when a volume of the image lies where nothing may be put.
 */
export function createOptions(
  spec: SandboxSpec,
  identity: Identity,
  policy: SandboxPolicy,
): Dockerode.ContainerCreateOptions {
  return {
    Image: spec.image.id,
    Entrypoint: ["/sbin/sandbox-init"],
    Cmd: [],
    Env: withoutImageEnv(policy.declared.envNames),
    WorkingDir: "/",
    User: `${identity.uid}:${identity.gid}`,
    // SAFETY: a namespace of its own, with a loopback device, comes from the runtime all the same. What is left out is the engine's part in it, and
    // with that `/etc/hosts`: sandbox-init answers for its names.
    NetworkDisabled: runtimeTraits(spec.runtime).raisesLoopback,
    Hostname: "sandbox",
    Domainname: "",
    Labels: { ...blanked(policy.declared.labelNames), ...labelsOf(policy.labels) },
    Healthcheck: { Test: ["NONE"] },
    // `docker stop` by an operator ends a sandbox at once: sandbox-init ignores every signal it can.
    StopSignal: "SIGKILL",
    Tty: false,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    // The protocol survives a lost attach: the engine must not close stdin with the first client.
    StdinOnce: false,
    HostConfig: hostConfig(spec, identity, policy),
  };
}

/**
 * The walls of a sandbox.
 *
 * `disk_mb` is split: three quarters for `/workspace`, where a task works, one quarter for `/tmp`. Two file systems
 * cannot share one size, and the sum must never exceed what the cgroup has room for. `/output` has `output_mb` of its own.
 * Every one of them holds at most `inodes` files and directories.
 */
export function hostConfig(
  { limits, runtime }: Pick<SandboxSpec, "limits" | "runtime">,
  identity: Identity,
  { seccomp, declared, cpuset = "" }: Pick<SandboxPolicy, "seccomp" | "declared" | "cpuset">,
): SandboxHostConfig {
  return {
    Runtime: runtime,
    // SAFETY: the sandbox has no right to anything: no capability, none to be gained by a setuid or file-capability program.
    Privileged: false,
    CapAdd: [],
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges", `seccomp=${JSON.stringify(seccomp)}`],
    MaskedPaths: [...unreadablePaths],
    ReadonlyPaths: [...readonlyPaths],

    // SAFETY: nothing of the host and nothing that outlives the sandbox is mounted: every writable path is memory.
    ReadonlyRootfs: true,
    Binds: [],
    VolumesFrom: [],
    Mounts: volumeMounts(declared.volumes),
    Tmpfs: writableMounts(limits, identity),
    ShmSize: 16 * bytesPerMb,
    Devices: [],
    DeviceRequests: [],
    DeviceCgroupRules: [],
    GroupAdd: [],

    // SAFETY: namespaces of its own; with no network but a loopback device.
    NetworkMode: "none",
    IpcMode: "private",
    CgroupnsMode: "private",
    PidMode: "",
    UTSMode: "",

    ...changeableConfig(limits, runtime),
    CpusetCpus: cpuset,
    Ulimits: ulimits(limits),
    // When the host itself runs out of memory, sandboxes go before anything else.
    OomScoreAdj: 500,

    AutoRemove: false,
    Init: false,
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "none", Config: {} },
  };
}

/** What of the walls the engine can still set on a sandbox that is there. All of it together, so that none is forgotten. */
export function changeableConfig(limits: Limits, runtime: string): ChangedLimits {
  const memoryBytes = cgroupMemoryBytes(limits);
  return {
    Memory: memoryBytes,
    // Memory and swap together: the same figure means no swap.
    MemorySwap: memoryBytes,
    NanoCpus: Math.round(limits.cpus * 1e9),
    PidsLimit: runtimeTraits(runtime).enginePids(limits.pids),
  };
}

/**
 * The largest file a task may make, bytes: a little above the largest of its file systems, so that a full disk
 * shows as ENOSPC and only a hole larger than the disk meets SIGXFSZ.
 */
export function fileSizeLimitBytes(limits: Limits): number {
  return (Math.max(limits.disk_mb, limits.output_mb) + 1) * bytesPerMb;
}

/** Open files of one process of the task, and of sandbox-init. */
export const openFilesLimit = 1024;

/** A fresh user out of a range that no account of a host uses: several limits of the kernel are counted per user. */
export function randomIdentity(): Identity {
  const id = randomInt(200_000, 2_000_000_001);
  return { uid: id, gid: id };
}

function writableMounts(limits: Limits, { uid, gid }: Identity): Record<string, string> {
  const mount = (sizeBytes: number, inodes: number, mode: string, exec: "exec" | "noexec"): string =>
    `rw,nosuid,nodev,${exec},size=${sizeBytes},nr_inodes=${inodes},mode=${mode},uid=${uid},gid=${gid}`;
  const diskBytes = limits.disk_mb * bytesPerMb;
  return {
    "/workspace": mount((diskBytes / 4) * 3, limits.inodes, "0755", "exec"),
    // Executable: compiled Python modules and many installers load or run what they unpack there.
    "/tmp": mount(diskBytes / 4, limits.inodes, "1777", "exec"),
    "/output": mount(limits.output_mb * bytesPerMb, limits.inodes, "0755", "noexec"),
    // Where sandbox-init writes the name of the user (`/etc/passwd` and `/etc/group` of our images point here) and secrets.
    "/run/toolx": mount(bytesPerMb, 32, "0755", "noexec"),
  };
}

// The number of processes is not here: it would bind sandbox-init itself, which sets it on the task alone.
function ulimits(limits: Limits): { Name: string; Soft: number; Hard: number }[] {
  const fixed = (Name: string, value: number) => ({ Name, Soft: value, Hard: value });
  return [
    fixed("nofile", openFilesLimit),
    fixed("core", 0),
    fixed("fsize", fileSizeLimitBytes(limits)),
    // The kernel's own default for each; named, because an engine's service file often lifts them for its children.
    fixed("msgqueue", 819_200),
    fixed("memlock", 8 * bytesPerMb),
    fixed("rtprio", 0),
  ];
}

// Variables that steer the loader or the Go runtime of sandbox-init, whatever the image says about them.
const steeringEnv: readonly string[] = [
  "LD_AUDIT",
  "LD_LIBRARY_PATH",
  "LD_PRELOAD",
  "GLIBC_TUNABLES",
  "GOCOVERDIR",
  "GODEBUG",
  "GOGC",
  "GOMAXPROCS",
  "GOMEMLIMIT",
  "GOTRACEBACK",
];

// A name without "=" takes the variable out (engine API); the task's own environment comes by the protocol.
function withoutImageEnv(imageNames: readonly string[]): string[] {
  return [...new Set([...steeringEnv, ...imageNames])].filter((name) => name !== "PATH").sort();
}

// An image's labels cannot be removed, only overwritten: tools that act on labels must find nothing in ours.
function blanked(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, ""]));
}
