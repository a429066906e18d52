/**
 * What reads as empty inside. The engine uses these lists in place of its own defaults, so they name those too,
 * on every engine version alike. A path that a kernel does not have is passed over.
 */
export const unreadablePaths: readonly string[] = [
  // Memory, keys and timers of the kernel and of other processes.
  "/proc/kcore",
  "/proc/keys",
  "/proc/key-users",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/latency_stats",
  "/proc/kallsyms",
  "/proc/kmsg",
  // How the host was started and built.
  "/proc/cmdline",
  "/proc/config.gz",
  "/sys/firmware",
  "/sys/devices/virtual/dmi",
  // Counters fine enough to watch what others on the host do: keystrokes, power draw.
  "/proc/interrupts",
  "/sys/devices/virtual/powercap",
  "/sys/devices/virtual/thermal",
  // Hardware that is none of a task's business.
  "/proc/acpi",
  "/proc/asound",
  "/proc/scsi",
  "/sys/dev/block",
  // Kernel interfaces behind which only root should be, should a kernel think otherwise.
  "/sys/kernel/debug",
  "/sys/kernel/tracing",
  "/sys/kernel/security",
  "/sys/fs/bpf",
  "/sys/fs/pstore",
];

/** What can be read but not written, even by a process that came by rights it should not have. */
export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];
