import { type Answer, attempt, type Battery, battery, type Try } from "../battery.ts";

const refused = /^(EROFS|EACCES|EPERM|ENOENT)$/;

/** Opened for writing, as `>` does; nothing is written, for under a wall that has fallen it would be written to the host. */
const writes = (path: string): Try => attempt(`write ${path}`, `opens("${path}", W)`, refused);
const creates = (path: string): Try => attempt(`> ${path}`, `opens("${path}", W | os.O_TRUNC)`, refused);

const settings = [
  "/proc/sys/kernel/core_pattern",
  "/proc/sys/kernel/modprobe",
  "/proc/sys/kernel/poweroff_cmd",
  "/proc/sys/kernel/randomize_va_space",
  "/proc/sys/kernel/yama/ptrace_scope",
  "/proc/sys/kernel/unprivileged_bpf_disabled",
  "/proc/sys/fs/suid_dumpable",
  "/proc/sys/vm/panic_on_oom",
  "/proc/sys/vm/drop_caches",
  "/proc/sys/net/ipv4/ip_forward",
];

/** Kind, major, minor, and where it is looked for. */
const devices: readonly (readonly ["b" | "c", number, number, string])[] = [
  ["b", 8, 0, "sda"],
  ["b", 254, 0, "vda"],
  ["b", 259, 0, "nvme0n1"],
  ["b", 7, 0, "loop0"],
  ["c", 1, 1, "mem"],
  ["c", 1, 2, "kmem"],
  ["c", 1, 4, "port"],
  ["c", 1, 11, "kmsg"],
  ["c", 10, 232, "kvm"],
  ["c", 10, 229, "fuse"],
  ["c", 10, 200, "net/tun"],
  ["c", 10, 237, "loop-control"],
  ["c", 10, 236, "mapper/control"],
  ["c", 10, 238, "vhost-net"],
  ["c", 10, 241, "vhost-vsock"],
  ["c", 10, 223, "uinput"],
  ["c", 10, 234, "btrfs-control"],
  ["c", 10, 196, "vfio/vfio"],
  ["c", 10, 231, "snapshot"],
  ["c", 226, 0, "dri/card0"],
  ["c", 202, 0, "cpu/0/msr"],
  ["c", 4, 0, "tty0"],
  ["c", 5, 1, "console"],
];

export const deviceNames: readonly string[] = [...devices.map(([, , , name]) => name), "userfaultfd", "tty"];

/** The sentry lets anybody make a node, and opens those it has a device of its own for: it passes nothing through to the host. */
const sentrysOwn: ReadonlySet<string> = new Set(["fuse", "net/tun"]);
const openedOnGvisor = (name: string) => (sentrysOwn.has(name) ? "done" : /^(ENXIO|EPERM|ENOENT)$/);

const makesDevice = ([kind, major, minor, name]: (typeof devices)[number]): Try => {
  const path = `/tmp/${name.replaceAll("/", "-")}`;
  const type = kind === "b" ? "BLK" : "CHR";
  return attempt(
    `mknod ${kind} ${major} ${minor} (${name}), and open it`,
    `os.mknod("${path}", stat.S_IF${type} | 0o666, os.makedev(${major}, ${minor})); opens("${path}", RW)`,
    "EPERM",
    openedOnGvisor(name),
  );
};

// An empty folder stands where a masked one was.
const nothing = /^(none|nothing to try)$/;

/** Read to the end, or the first file below it: what comes must be nothing. */
const hides = (path: string, onGvisor: Answer = nothing): Try =>
  attempt(
    `read ${path}`,
    `those(lambda one: read(one, 64) != "", below("${path}") if os.path.isdir("${path}") else ["${path}"])`,
    nothing,
    onGvisor,
  );

export const hidden: readonly string[] = [
  "/proc/kcore",
  "/proc/keys",
  "/proc/key-users",
  "/proc/timer_list",
  "/proc/sched_debug",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kmsg",
  "/proc/config.gz",
  "/proc/acpi",
  "/proc/scsi",
  "/proc/asound",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
  "/sys/devices/virtual/dmi",
  "/sys/kernel/debug",
  "/sys/kernel/tracing",
  "/sys/kernel/security",
  "/sys/fs/bpf",
  "/sys/fs/pstore",
  "/sys/dev/block",
];

/** What the kernel shows of itself as files: settings, devices, memory. */
export const kernelFileBatteries: readonly Battery[] = [
  battery("B1", "the host's magic keys", [creates("/proc/sysrq-trigger"), writes("/proc/sysrq-trigger")]),
  battery("B2", "the kernel's settings", [
    ...settings.map(writes),
    attempt("write any file below /proc/sys", 'those(lambda one: os.access(one, os.W_OK), below("/proc/sys"))', "none"),
    attempt("write any file below /sys", 'those(lambda one: os.access(one, os.W_OK), below("/sys"))', "none"),
    attempt(
      "write any file of /proc but those of processes",
      'those(lambda one: os.access(one, os.W_OK), [one for one in glob.glob("/proc/*") + [two for top in ("irq", "fs", "bus", "acpi") for two in below("/proc/" + top)] if not re.match("/proc/([0-9]|self$|thread-self$)", one) and os.path.isfile(one)])',
      "none",
    ),
  ]),
  battery("B19", "devices", [
    ...devices.map(makesDevice),
    ...devices.map(([, , , name]) =>
      attempt(`open /dev/${name}`, `opens("/dev/${name}", RW)`, refused, openedOnGvisor(name)),
    ),
    attempt("open /dev/tty", 'opens("/dev/tty", RW)', "ENXIO"),
    attempt(
      "any device but the harmless ones",
      // Not opened: a watchdog would start to run.
      'those(lambda one: True, [one for one in below("/dev") if stat.S_ISBLK(os.stat(one).st_mode) or stat.S_ISCHR(os.stat(one).st_mode) and os.path.basename(one) not in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "stdin", "stdout", "stderr", "0", "1", "2")])',
      /^(none|nothing to try)$/,
      "/dev/fuse /dev/net/tun",
    ),
  ]),
  battery("B23", "memory, keys, counters and hardware", [
    ...hidden.map((path) => hides(path)),
    // gVisor masks no file; it shows the line of a machine that does not exist.
    hides("/proc/cmdline", "/proc/cmdline"),
    attempt(
      "the words of /proc/cmdline",
      'read("/proc/cmdline").strip() or "nothing"',
      "nothing",
      "BOOT_IMAGE=/vmlinuz-4.4.0-gvisor quiet",
    ),
  ]),
];
