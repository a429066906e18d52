import { describe, expect, test } from "vitest";
import { type SyscallRule, seccompProfile } from "../../../../src/adapters/docker/seccomp.ts";

const refused = [
  ...["ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"],
  ...["unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "mount_setattr"],
  ...["fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount"],
  ...["bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl", "modify_ldt", "vm86", "vm86old"],
  ...["name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark", "lookup_dcookie", "nfsservctl"],
  ...["mbind", "get_mempolicy", "set_mempolicy", "migrate_pages", "move_pages", "memfd_secret"],
  ...["settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime"],
  ...["init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "acct"],
  ...["swapon", "swapoff", "syslog", "quotactl", "quotactl_fd", "iopl", "ioperm", "sethostname", "setdomainname"],
  ...["vhangup", "uselib", "ustat", "sysfs", "_sysctl", "socketcall", "ipc"],
];

describe.each([
  ["runc", "x86_64", "SCMP_ARCH_X86_64"],
  ["runc", "aarch64", "SCMP_ARCH_AARCH64"],
  ["runsc", "amd64", "SCMP_ARCH_X86_64"],
])("the profile for %s on %s", (runtime, architecture, abi) => {
  const profile = seccompProfile(runtime, architecture);
  const rulesFor = (name: string): readonly SyscallRule[] =>
    profile.syscalls.filter(({ names }) => names.includes(name));

  test("refuses what it does not name, and knows one ABI", () => {
    expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(profile.architectures).toEqual([abi]);
  });

  test.each(refused)("allows %s under no circumstances", (name) => {
    expect(rulesFor(name)).toEqual([]);
  });

  test.each([
    "clone",
    "personality",
    "prlimit64",
    "setpriority",
    "ioprio_set",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "socket",
    "socketpair",
  ])("allows %s with some arguments only", (name) => {
    expect(rulesFor(name).length).toBeGreaterThan(0);
    for (const rule of rulesFor(name)) expect(rule.args?.length).toBeGreaterThan(0);
  });

  test("names no call twice without arguments, and none both with and without", () => {
    const plain = profile.syscalls.filter(({ args }) => args === undefined).flatMap(({ names }) => names);
    expect(plain.filter((name, at) => plain.indexOf(name) !== at)).toEqual([]);
    const tested = new Set(profile.syscalls.filter(({ args }) => args !== undefined).flatMap(({ names }) => names));
    expect(plain.filter((name) => tested.has(name))).toEqual([]);
  });

  // Two tests of one argument in one rule would be alternatives for the engine, not both conditions.
  test("tests each argument at most once in a rule", () => {
    for (const { args = [] } of profile.syscalls)
      expect(new Set(args.map(({ index }) => index)).size).toBe(args.length);
  });

  test("ties every kind of socket to a family", () => {
    for (const { args } of rulesFor("socket")) expect(args?.[0]).toMatchObject({ index: 0, op: "SCMP_CMP_EQ" });
    expect(new Set(rulesFor("socket").map(({ args }) => args?.[0]?.value))).toEqual(new Set([1, 2, 10, 16]));
  });
});

test.each(["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "sync", "syncfs"])(
  "%s looks absent on runc",
  (name) => {
    const rules = seccompProfile("runc", "x86_64").syscalls.filter(({ names }) => names.includes(name));
    expect(rules).toEqual([expect.objectContaining({ action: "SCMP_ACT_ERRNO", errnoRet: 38 })]);
  },
);

test.each(["runsc", "runsc-debug"])("%s is asked for no other errno than its own, and keeps clone3", (runtime) => {
  const { syscalls } = seccompProfile(runtime, "x86_64");
  expect(syscalls.filter(({ action }) => action !== "SCMP_ACT_ALLOW")).toEqual([]);
  expect(syscalls.some(({ names }) => names.includes("clone3"))).toBe(true);
  expect(syscalls.some(({ names }) => names.includes("io_uring_setup"))).toBe(false);
});

test.each(["kata", "kata-qemu", "crun"])("%s has the profile of runc", (runtime) => {
  expect(seccompProfile(runtime, "x86_64")).toEqual(seccompProfile("runc", "x86_64"));
});

test("an engine on another machine is refused by name", () => {
  expect(() => seccompProfile("runc", "s390x")).toThrow(/s390x/);
});
