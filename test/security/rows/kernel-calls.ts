import { attempt, type Battery, battery, type Try } from "../battery.ts";

/*
 * Calls by their number on x86_64. Where the kernel itself would refuse too, the arguments are wrong on purpose: a call
 * that gets through the filter then fails with another error, and does no harm where every wall has fallen.
 */
const refused = (name: string, ...numbers: readonly (number | string)[]): Try =>
  attempt(name, `call(${numbers.join(", ")})`, "EPERM");
/** A runtime that does not know the call yet answers as a kernel that does not. */
const newer = (name: string, ...numbers: readonly number[]): Try =>
  attempt(name, `call(${numbers.join(", ")})`, /^(EPERM|ENOSYS)$/);
const absent = (name: string, ...numbers: readonly (number | string)[]): Try =>
  attempt(name, `call(${numbers.join(", ")})`, "ENOSYS", "EPERM");

const namespaces: readonly (readonly [string, number])[] = [
  ["mount", 0x0002_0000],
  ["cgroup", 0x0200_0000],
  ["uts", 0x0400_0000],
  ["ipc", 0x0800_0000],
  ["user", 0x1000_0000],
  ["pid", 0x2000_0000],
  ["net", 0x4000_0000],
];

// flags (8 bytes), then fields that may be 0, exit_signal (SIGCHLD) the fifth.
const clone3 = (flags: number): string => `forks(435, buffer(88, struct.pack("QQQQQ", ${flags}, 0, 0, 0, 17)), 88)`;

const insiders: readonly (readonly [string, string])[] = [
  ["mount", 'mount("none", "/tmp", "tmpfs")'],
  ["chroot", 'os.chroot("/tmp")'],
  ["ptrace", "call(101, 0, 0, 0, 0)"],
  ["a raw socket", "sock(2, 3, 1)"],
  ["setns", "call(308, -1, 0)"],
];

const mounts: readonly (readonly [string, string])[] = [
  ["a tmpfs", 'mount("none", "/tmp", "tmpfs")'],
  ["proc", 'mount("proc", "/tmp", "proc")'],
  ["sysfs", 'mount("sysfs", "/tmp", "sysfs")'],
  ["cgroup", 'mount("cgroup", "/tmp", "cgroup", 0, b"toolxnone")'],
  ["cgroup2", 'mount("none", "/tmp", "cgroup2")'],
  ["devpts", 'mount("devpts", "/tmp", "devpts")'],
  ["mqueue", 'mount("mqueue", "/tmp", "mqueue")'],
  ["overlay", 'mount("overlay", "/tmp", "overlay", 0, b"lowerdir=/etc:/usr")'],
  ["the root again, by bind", 'mount("/", "/tmp", "none", 4096)'],
  ["the root again, writable", 'mount("none", "/", "none", 32)'],
  ["the root again, by bind, writable", 'mount("none", "/", "none", 32 | 4096)'],
  ["/proc/sys again, writable", 'mount("none", "/proc/sys", "none", 32 | 4096)'],
  ["the root as shared", 'mount("none", "/", "none", 1 << 20)'],
];

/** Namespaces, mounts and the cgroup trick that stands on them. */
const placeBatteries: readonly Battery[] = [
  battery("B3", "namespaces", [
    attempt("unshare -Ur id", 'output("unshare", "-Ur", "id")', /^exit 1: .*Operation not permitted$/),
    attempt("unshare -m", 'output("unshare", "-m", "true")', /^exit 1: .*Operation not permitted$/),
    ...namespaces.map(([name, flag]) =>
      attempt(`clone with a new ${name} namespace`, `forks(56, ${flag} | 17, 0, 0, 0, 0)`, "EPERM"),
    ),
    ...[["no", 0] as const, ...namespaces, ["time", 0x80] as const].map(([name, flag]) =>
      refused(`unshare ${name} namespace`, 272, flag),
    ),
    attempt("clone3 with a new user namespace", clone3(0x1000_0000), "ENOSYS", /^(done|EPERM|EINVAL|ENOSYS)$/),
    attempt("clone3 with a new mount namespace", clone3(0x0002_0000), "ENOSYS", /^(done|EPERM|EINVAL|ENOSYS)$/),
    // Under gVisor clone3 is open: what it makes is the sentry's own, and the filter is as strict in there.
    ...insiders.map(([name, code]) =>
      attempt(`${name} in new namespaces by clone3`, `inside(0x30020000, lambda: ${code})`, "ENOSYS", "EPERM"),
    ),
  ]),
  battery("B4", "mounts", [
    ...mounts.map(([name, code]) => attempt(`mount ${name}`, code, "EPERM")),
    refused("umount2", 166, 0, 0),
    refused("pivot_root", 155, 0, 0),
    refused("chroot", 161, 0),
    refused("fsopen", 430, 0, 0),
    refused("fsconfig", 431, -1, 0, 0, 0, 0),
    refused("fsmount", 432, -1, 0, 0),
    refused("fspick", 433, -1, 0, 0),
    refused("open_tree", 428, -1, 0, 0),
    newer("open_tree_attr", 467, -1, 0, 0, 0, 0),
    refused("move_mount", 429, -1, 0, -1, 0, 0),
    refused("mount_setattr", 442, -1, 0, 0, 0, 0),
    newer("statmount", 457, 0, 0, 0, 0),
    newer("listmount", 458, 0, 0, 0, 0),
  ]),
  battery("B22", "a cgroup's release agent", [
    ...["memory", "cpu", "devices", "pids"].map((kind) =>
      attempt(
        `mount the ${kind} controller`,
        `os.makedirs("/tmp/c", exist_ok=True); mount("cgroup", "/tmp/c", "cgroup", 0, b"${kind},toolxnone")`,
        "EPERM",
      ),
    ),
    ...["release_agent", "notify_on_release", "cgroup.procs", "devices.allow", "memory.limit_in_bytes"].map((name) =>
      attempt(
        `write any ${name}`,
        `those(can(W), [one for one in below("/sys/fs/cgroup") if os.path.basename(one) == "${name}"])`,
        /^(none|nothing to try)$/,
      ),
    ),
    attempt(
      "make a cgroup",
      'those(lambda one: os.mkdir(one + "/toolxtest") is None, [at for at, _, _ in os.walk("/sys/fs/cgroup")] or ["/sys/fs/cgroup"])',
      "none",
    ),
  ]),
];

export const kernelCallBatteries: readonly Battery[] = [
  ...placeBatteries,
  battery("B5", "the kernel's keys", [
    refused("add_key", 248, 0, 0, 0, 0, 0),
    refused("request_key", 249, 0, 0, 0, 0),
    attempt("keyctl join a session", "call(250, 1, 0, 0, 0, 0); None", "EPERM"),
    refused("keyctl read", 250, 11, -1, 0, 0, 0),
    refused("keyctl 999", 250, 999, 0, 0, 0, 0),
  ]),
  battery("B6", "tracing", [
    attempt("ptrace attach to PID 1", "traced(1)", "EPERM"),
    attempt("ptrace seize PID 1", "call(101, 0x4206, 1, 1, 0)", "EPERM"),
    attempt("ptrace attach to its parent", "traced(os.getppid())", "EPERM"),
    attempt("ptrace traceme", "call(101, 0, 0, 0, 0); None", "EPERM"),
  ]),
  battery("B7", "memory and descriptors of others", [
    refused("process_vm_readv", 310, 1, 0, 0, 0, 0, 0),
    refused("process_vm_writev", 311, 1, 0, 0, 0, 0, 0),
    refused("pidfd_getfd", 438, -1, 0, 0),
    refused("kcmp", 312, 1, 1, 99, 0, 0),
    refused("process_madvise", 440, -1, 0, 0, 0, 0),
    refused("process_mrelease", 448, -1, 0),
  ]),
  battery("B8", "io_uring", [
    absent("io_uring_setup", 425, 8, "buffer()"),
    absent("io_uring_enter", 426, -1, 0, 0, 0, 0),
    absent("io_uring_register", 427, -1, 0, 0, 0),
  ]),
  battery("B9", "bpf", [
    refused("bpf of a command that is none", 321, 999, "buffer()", 0),
    refused("bpf map create", 321, 0, "buffer()", 999_999),
    refused("bpf prog load", 321, 5, "buffer()", 999_999),
    refused("bpf token create", 321, 36, "buffer()", 999_999),
  ]),
  battery("B10", "performance counters", [
    refused("perf_event_open", 298, 0, 0, 0, 0, 0),
    refused("perf_event_open of everybody", 298, "buffer()", -1, -1, -1, 999),
  ]),
  battery("B11", "page faults in user space", [
    refused("userfaultfd", 323, 0),
    refused("userfaultfd of its own pages only", 323, 1),
    attempt("open /dev/userfaultfd", 'opens("/dev/userfaultfd", RW)', "ENOENT"),
  ]),
  battery("B20", "files by handle", [
    refused("name_to_handle_at", 303, -1, 0, 0, 0, 0),
    attempt("open_by_handle_at", "call(304, -1, buffer(), 0)", "EPERM"),
    attempt(
      "open_by_handle_at of the root's inode 2",
      'call(304, os.open("/", R), buffer(64, struct.pack("IiQ", 8, 1, 2)), 0); None',
      "EPERM",
    ),
  ]),
  battery("B28", "the host's own affairs", [
    refused("syslog", 103, 99, 0, 0),
    refused("reboot", 169, 0, 0, 0, 0),
    refused("kexec_load", 246, 0, 0, 0, -1),
    refused("kexec_file_load", 320, -1, -1, 0, 0, 0),
    refused("init_module", 175, 0, 0, 0),
    refused("finit_module", 313, -1, 0, 0),
    refused("delete_module", 176, 0, 0),
    refused("swapon", 167, 0, 0),
    refused("swapoff", 168, 0),
    attempt("acct", 'call(163, b"/nowhere")', "EPERM"),
    refused("settimeofday", 164, 0, 0),
    refused("clock_settime", 227, 99, 0),
    refused("clock_adjtime", 305, 99, 0),
    refused("adjtimex", 159, 0),
    refused("sethostname", 170, 0, -1),
    refused("setdomainname", 171, 0, -1),
    refused("iopl", 172, 99),
    refused("ioperm", 173, 0, 0, 0),
    refused("quotactl", 179, 0, 0, 0, 0),
    refused("quotactl_fd", 443, -1, 0, 0),
    refused("lookup_dcookie", 212, 0, 0, 0),
    refused("fanotify_init", 300, 0xff_ffff, 0),
    refused("move_pages", 279, 0, 1, 0, 0, 0, 99),
    refused("mbind", 237, 0, 0, 99, 0, 0, 0),
    refused("set_mempolicy", 238, 99, 0, 0),
    refused("migrate_pages", 256, 0, 0, 0, 0),
    refused("setns", 308, -1, 0),
    ...["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"].map((kind) =>
      attempt(
        `setns into PID 1's ${kind} namespace`,
        `call(308, os.open("/proc/1/ns/${kind}", R), 0)`,
        /^E(PERM|ACCES)$/,
        /^E(PERM|ACCES|NOENT)$/,
      ),
    ),
    attempt(
      "nsenter -t1 -a",
      'output("nsenter", "-t1", "-a", "true")',
      /^exit 1: .*(Permission denied|not permitted)/,
      /^exit 1: /,
    ),
  ]),
  battery("B29", "its own execution", [
    attempt("personality ADDR_NO_RANDOMIZE", "call(135, 0x40000); None", "EPERM"),
    attempt("personality READ_IMPLIES_EXEC", "call(135, 0x400000); None", "EPERM"),
    attempt("personality PER_LINUX32", "call(135, 8); None", "EPERM"),
    refused("modify_ldt", 154, 0, 0, 0),
    attempt("modify_ldt write", "call(154, 1, buffer(16), 16)", "EPERM"),
  ]),
];
