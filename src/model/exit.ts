/** How a task's main process ended, as sandbox-init saw it (docs/sandbox-protocol.md). */
export interface Exit {
  readonly code: number | null;
  /** Such as `SIGKILL`; null where there is a code. */
  readonly signal: string | null;
  readonly cause: "exited" | "deadline" | "signal" | "memory";
  readonly runUs: number;
  readonly cpuUs: number | null;
  readonly memoryPeakBytes: number | null;
  readonly oomKills: number | null;
  readonly pidsPeak: number | null;
  /** A sample found the task at its limit of processes. */
  readonly pidsCapped: boolean;
  /** File systems seen full, in bytes or inodes. */
  readonly diskFull: readonly string[];
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly source: "cgroup" | "sampled";
}

/** The end of a process without any trouble, of which nothing was measured. */
export const cleanExit: Exit = {
  code: 0,
  signal: null,
  cause: "exited",
  runUs: 0,
  cpuUs: null,
  memoryPeakBytes: null,
  oomKills: null,
  pidsPeak: null,
  pidsCapped: false,
  diskFull: [],
  stdoutBytes: 0,
  stderrBytes: 0,
  source: "cgroup",
};

/** What of `/output` was kept and what was not. */
export interface CollectEnd {
  readonly entries: number;
  readonly bytes: number;
  readonly skipped: readonly { readonly path: string; readonly why: string }[];
  readonly skippedCount: number;
  /** The cap that was met, or null. */
  readonly limit: "bytes" | "entries" | "depth" | null;
}
