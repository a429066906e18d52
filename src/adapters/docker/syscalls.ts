/** `MASKED_EQ`: the argument and `value` is `valueTwo`. */
export interface ArgumentTest {
  readonly index: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ";
  readonly value: number;
  readonly valueTwo: number;
}

/*
 * The calls a sandbox may make, by what a program needs them for. What is missing is refused on purpose; the larger
 * absences are: other processes (ptrace, process_vm_*, pidfd_getfd, kcmp, process_madvise), namespaces and mounts (unshare,
 * setns, mount and its newer family, chroot, pivot_root), kernel surface with a record of escapes (bpf, perf_event_open,
 * userfaultfd, io_uring, keys, modify_ldt), files by handle, NUMA placement, clocks, modules, swap, accounting, the log.
 */

const files: readonly string[] = [
  "access",
  "chdir",
  "chmod",
  "chown",
  "close",
  "close_range",
  "copy_file_range",
  "creat",
  "dup",
  "dup2",
  "dup3",
  "faccessat",
  "faccessat2",
  "fadvise64",
  "fallocate",
  "fchdir",
  "fchmod",
  "fchmodat",
  "fchmodat2",
  "fchown",
  "fchownat",
  "fcntl",
  "fdatasync",
  "fgetxattr",
  "flistxattr",
  "flock",
  "fremovexattr",
  "fsetxattr",
  "fstat",
  "fstatfs",
  "fsync",
  "ftruncate",
  "futimesat",
  "getcwd",
  "getdents",
  "getdents64",
  "getxattr",
  "ioctl",
  "lchown",
  "lgetxattr",
  "link",
  "linkat",
  "listxattr",
  "llistxattr",
  "lremovexattr",
  "lseek",
  "lsetxattr",
  "lstat",
  "mkdir",
  "mkdirat",
  // For named pipes; a device node needs a capability that nobody inside has.
  "mknod",
  "mknodat",
  "newfstatat",
  "open",
  "openat",
  "openat2",
  "pread64",
  "preadv",
  "preadv2",
  "pwrite64",
  "pwritev",
  "pwritev2",
  "read",
  "readahead",
  "readlink",
  "readlinkat",
  "readv",
  "removexattr",
  "rename",
  "renameat",
  "renameat2",
  "rmdir",
  "sendfile",
  "setxattr",
  "splice",
  "stat",
  "statfs",
  "statx",
  "symlink",
  "symlinkat",
  "sync_file_range",
  "tee",
  "truncate",
  "umask",
  "unlink",
  "unlinkat",
  "utime",
  "utimensat",
  "utimes",
  "vmsplice",
  "write",
  "writev",
];

const waitingForThings: readonly string[] = [
  "epoll_create",
  "epoll_create1",
  "epoll_ctl",
  "epoll_ctl_old",
  "epoll_pwait",
  "epoll_pwait2",
  "epoll_wait",
  "epoll_wait_old",
  "eventfd",
  "eventfd2",
  "inotify_add_watch",
  "inotify_init",
  "inotify_init1",
  "inotify_rm_watch",
  "io_cancel",
  "io_destroy",
  "io_getevents",
  "io_pgetevents",
  "io_setup",
  "io_submit",
  "pause",
  "pipe",
  "pipe2",
  "poll",
  "ppoll",
  "pselect6",
  "select",
  "signalfd",
  "signalfd4",
];

const memory: readonly string[] = [
  "brk",
  "madvise",
  "map_shadow_stack",
  "membarrier",
  "memfd_create",
  "mincore",
  "mlock",
  "mlock2",
  "mlockall",
  "mmap",
  "mprotect",
  "mremap",
  "mseal",
  "msync",
  "munlock",
  "munlockall",
  "munmap",
  "pkey_alloc",
  "pkey_free",
  "pkey_mprotect",
  "remap_file_pages",
];

const processesAndThreads: readonly string[] = [
  "arch_prctl",
  "execve",
  "execveat",
  "exit",
  "exit_group",
  "fork",
  "futex",
  "futex_requeue",
  "futex_wait",
  "futex_waitv",
  "futex_wake",
  "get_robust_list",
  "get_thread_area",
  "getcpu",
  "getpgid",
  "getpgrp",
  "getpid",
  "getppid",
  "getpriority",
  "getrlimit",
  "getrusage",
  "getsid",
  "gettid",
  "ioprio_get",
  "pidfd_open",
  "prctl",
  "restart_syscall",
  "rseq",
  "sched_get_priority_max",
  "sched_get_priority_min",
  "sched_getaffinity",
  "sched_getattr",
  "sched_getparam",
  "sched_getscheduler",
  "sched_rr_get_interval",
  "sched_yield",
  "set_robust_list",
  "set_thread_area",
  "set_tid_address",
  "setpgid",
  "setrlimit",
  "setsid",
  "sysinfo",
  "times",
  "uname",
  "vfork",
  "wait4",
  "waitid",
];

const signals: readonly string[] = [
  "kill",
  "pidfd_send_signal",
  "rt_sigaction",
  "rt_sigpending",
  "rt_sigprocmask",
  "rt_sigqueueinfo",
  "rt_sigreturn",
  "rt_sigsuspend",
  "rt_sigtimedwait",
  "rt_tgsigqueueinfo",
  "sigaltstack",
  "tgkill",
  "tkill",
];

const time: readonly string[] = [
  "alarm",
  "clock_getres",
  "clock_gettime",
  "clock_nanosleep",
  "getitimer",
  "gettimeofday",
  "nanosleep",
  "setitimer",
  "time",
  "timer_create",
  "timer_delete",
  "timer_getoverrun",
  "timer_gettime",
  "timer_settime",
  "timerfd_create",
  "timerfd_gettime",
  "timerfd_settime",
];

// Without a capability these only ever give up rights or set what is set already; C libraries call them at every turn.
const identity: readonly string[] = [
  "capget",
  "capset",
  "getegid",
  "geteuid",
  "getgid",
  "getgroups",
  "getresgid",
  "getresuid",
  "getuid",
  "setfsgid",
  "setfsuid",
  "setgid",
  "setgroups",
  "setregid",
  "setresgid",
  "setresuid",
  "setreuid",
  "setuid",
];

// A tool may wall itself in further: browsers and some package installers do.
const selfRestriction: readonly string[] = [
  "landlock_add_rule",
  "landlock_create_ruleset",
  "landlock_restrict_self",
  "seccomp",
];

// What a socket may do; which sockets there can be is below.
const sockets: readonly string[] = [
  "accept",
  "accept4",
  "bind",
  "connect",
  "getpeername",
  "getsockname",
  "getsockopt",
  "listen",
  "recvfrom",
  "recvmmsg",
  "recvmsg",
  "sendmmsg",
  "sendmsg",
  "sendto",
  "setsockopt",
  "shutdown",
];

// System V and POSIX queues, memory and semaphores, in an IPC namespace of the sandbox's own.
const interProcess: readonly string[] = [
  "mq_getsetattr",
  "mq_notify",
  "mq_open",
  "mq_timedreceive",
  "mq_timedsend",
  "mq_unlink",
  "msgctl",
  "msgget",
  "msgrcv",
  "msgsnd",
  "semctl",
  "semget",
  "semop",
  "semtimedop",
  "shmat",
  "shmctl",
  "shmdt",
  "shmget",
];

const randomness: readonly string[] = ["getrandom"];

/** Allowed with any arguments. */
export const plainCalls: readonly string[] = [
  ...files,
  ...waitingForThings,
  ...memory,
  ...processesAndThreads,
  ...signals,
  ...time,
  ...identity,
  ...selfRestriction,
  ...sockets,
  ...interProcess,
  ...randomness,
];

/**
 * Answer ENOSYS, so that callers take another way. `clone3` hides its flags behind a pointer, where no filter can look;
 * `io_uring` does file and network work that no filter sees; `sync` and `syncfs` make the host write back everybody's files.
 */
export const absentCalls: readonly string[] = [
  "clone3",
  "io_uring_enter",
  "io_uring_register",
  "io_uring_setup",
  "sync",
  "syncfs",
];

const is = (index: number, value: number): ArgumentTest => ({ index, op: "SCMP_CMP_EQ", value, valueTwo: 0 });
const maskedIs = (index: number, mask: number, value: number): ArgumentTest => ({
  index,
  op: "SCMP_CMP_MASKED_EQ",
  value: mask,
  valueTwo: value,
});

const afUnix = 1;
const afInet = 2;
const afInet6 = 10;
const afNetlink = 16;
const netlinkRoute = 0;
// The low bits of a socket's type; the flags (close-on-exec, non-blocking) are above.
const typeMask = 0xf;
const stream = { type: 1, protocols: [0, 6] };
const datagram = { type: 2, protocols: [0, 17] };

// Plain TCP and UDP. No raw socket, and no protocol that would make the kernel load a module (SCTP, DCCP, MPTCP, SMC).
const internetSockets: readonly ArgumentTest[][] = [afInet, afInet6].flatMap((family) =>
  [stream, datagram].flatMap(({ type, protocols }) =>
    protocols.map((protocol) => [is(0, family), maskedIs(1, typeMask, type), is(2, protocol)]),
  ),
);

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const namespaceFlags = 0x7e02_0000;
const currentExecutionDomain = 0xffff_ffff;

/**
 * Allowed with these arguments only; several rules for one call are alternatives.
 *
 * The limits, priorities and processors of a process may be set by itself alone, that is with 0 for "me":
 * sandbox-init has the same user as the task, and a task could end or starve it otherwise.
 */
export const argumentRules: readonly { readonly names: readonly string[]; readonly args: readonly ArgumentTest[] }[] = [
  { names: ["clone"], args: [maskedIs(0, namespaceFlags, 0)] },
  { names: ["personality"], args: [is(0, 0)] },
  { names: ["personality"], args: [is(0, currentExecutionDomain)] },
  { names: ["prlimit64"], args: [is(0, 0)] },
  // PRIO_PROCESS is 0, IOPRIO_WHO_PROCESS is 1.
  { names: ["setpriority"], args: [is(0, 0), is(1, 0)] },
  { names: ["ioprio_set"], args: [is(0, 1), is(1, 0)] },
  { names: ["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"], args: [is(0, 0)] },
  { names: ["socket", "socketpair"], args: [is(0, afUnix)] },
  ...internetSockets.map((args) => ({ names: ["socket"], args })),
  // Interface addresses and routes, which C libraries ask for; every other netlink family is refused.
  { names: ["socket"], args: [is(0, afNetlink), is(2, netlinkRoute)] },
];
