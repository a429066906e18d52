/** The limits of one task as they cross the wire: always whole, defaults filled in. */
export interface Limits {
  /** Wall time from `start` to the end of the main process. */
  readonly timeout_seconds: number;
  /** Share of the host's CPUs; 0.5 is half of one. */
  readonly cpus: number;
  /** What the task's processes may hold, MiB. */
  readonly memory_mb: number;
  /** Processes and threads at once. */
  readonly pids: number;
  /** `/workspace` and `/tmp` together, MiB. */
  readonly disk_mb: number;
  /** `/output`, MiB. */
  readonly output_mb: number;
  /** Files and directories on each of the writable file systems. */
  readonly inodes: number;
  /** Stored output (head and tail), MiB; what is between is counted. */
  readonly log_mb: number;
}

export type LimitName = keyof Limits;

/** One limit's default and the range a request may ask for. `step` null: any fraction. */
export interface LimitRule {
  readonly byDefault: number;
  readonly min: number;
  readonly max: number;
  readonly integer: boolean;
}

export type LimitRules = Readonly<Record<LimitName, LimitRule>>;

/** What an installation starts with; every number can be changed by a setting (`toolx config show`). */
export const defaultLimitRules: LimitRules = {
  timeout_seconds: { byDefault: 30, min: 1, max: 3600, integer: true },
  cpus: { byDefault: 1, min: 0.05, max: 64, integer: false },
  memory_mb: { byDefault: 256, min: 16, max: 16_384, integer: true },
  pids: { byDefault: 128, min: 1, max: 4096, integer: true },
  disk_mb: { byDefault: 128, min: 1, max: 8192, integer: true },
  output_mb: { byDefault: 64, min: 1, max: 8192, integer: true },
  inodes: { byDefault: 8192, min: 16, max: 1_000_000, integer: true },
  log_mb: { byDefault: 16, min: 1, max: 1024, integer: true },
};

export const bytesPerMb = 1024 * 1024;

/** Memory on top of the task's own: sandbox-init with its unacknowledged frames, `/dev/shm`, kernel bookkeeping. */
export const overheadMemoryMb = 48;

/** Room in the cgroup's pids limit above the task's own, so that no fork bomb can take sandbox-init's threads. */
export const overheadPids = 64;

/** What the cgroup allows: tmpfs pages are charged to it, so files and processes share this sum. */
export function cgroupMemoryBytes(limits: Limits): number {
  return (limits.memory_mb + limits.disk_mb + limits.output_mb + overheadMemoryMb) * bytesPerMb;
}
