import { beforeAll, describe, expect, test } from "vitest";
import { defaultLimits, ourImage, productionOptions, runBare, testDocker } from "../support/bare-container.ts";

type Verdict = "done" | "refused" | "absent" | "reached the kernel";

// Perl, part of every Debian root, calls the kernel by number. Each call has a process of its own and two seconds.
const caller = `
$| = 1;
for my $line (split /\\n/, $ARGV[0]) {
  my ($name, @args) = split / /, $line;
  my $pid = fork // die "fork: $!";
  if ($pid == 0) {
    alarm 2;
    my @numbers = map { $_ eq "buffer" ? "\\0" x 4096 : $_ + 0 } @args;
    my $answer = syscall(shift @numbers, @numbers);
    my $errno = $! + 0;
    exit(0) if $answer == 0 && $name =~ /^fork/;
    print "$name ", ($answer == -1 ? $errno : 0), "\\n";
    exit 0;
  }
  waitpid $pid, 0;
  print "$name signal ", $? & 127, "\\n" if $? & 127;
}`;

const verdictOf = (answer: string | undefined): Verdict | string => {
  switch (answer) {
    case undefined:
      return "no answer";
    case "0":
      return "done";
    case "1":
      return "refused";
    case "38":
      return "absent";
    default:
      return answer.startsWith("signal") ? answer : "reached the kernel";
  }
};

/*
 * Name, number on x86_64 and arguments. Where the kernel itself would refuse too, the arguments are wrong on purpose:
 * a call that passes the filter then fails with another error.
 */
const calls: readonly (readonly [string, readonly (number | "buffer")[], Verdict])[] = [
  // Other processes.
  ["ptrace traceme", [101, 0, 0, 0, 0], "refused"],
  ["process_vm_readv", [310, 1, 0, 0, 0, 0, 0], "refused"],
  ["process_vm_writev", [311, 1, 0, 0, 0, 0, 0], "refused"],
  ["pidfd_getfd", [438, -1, 0, 0], "refused"],
  ["kcmp", [312, 1, 1, 99, 0, 0], "refused"],
  ["process_madvise", [440, -1, 0, 0, 0, 0], "refused"],
  ["prlimit on init", [302, 1, 0, 0, 0], "refused"],
  ["prlimit on itself", [302, 0, 0, 0, "buffer"], "done"],
  ["setpriority of init", [141, 0, 1, 5], "refused"],
  ["setpriority of everybody", [141, 2, 0, 5], "refused"],
  ["setpriority of itself", [141, 0, 0, 5], "done"],
  ["ioprio_set of init", [251, 1, 1, 0], "refused"],
  ["ioprio_set of its user", [251, 3, 0, 0], "refused"],
  ["ioprio_set of itself", [251, 1, 0, 0], "done"],
  ["sched_setaffinity of init", [203, 1, 8, "buffer"], "refused"],
  ["sched_setaffinity of itself", [203, 0, 8, "buffer"], "reached the kernel"],
  ["sched_setscheduler of init", [144, 1, 0, "buffer"], "refused"],
  ["sched_setscheduler of itself", [144, 0, 0, "buffer"], "done"],
  ["sched_setparam of init", [142, 1, "buffer"], "refused"],
  ["sched_setattr of init", [314, 1, "buffer", 0], "refused"],
  ["sched_getscheduler of init", [145, 1], "done"],
  // Namespaces and mounts.
  ["unshare nothing", [272, 0], "refused"],
  ["unshare a user", [272, 0x1000_0000], "refused"],
  ["setns", [308, -1, 0], "refused"],
  ["fork by clone", [56, 17, 0, 0, 0, 0], "done"],
  ["clone a user", [56, 0x1000_0011, 0, 0, 0, 0], "refused"],
  ["clone a mount namespace", [56, 0x0002_0011, 0, 0, 0, 0], "refused"],
  ["clone3", [435, "buffer", 0], "absent"],
  ["mount", [165, 0, 0, 0, 0, 0], "refused"],
  ["umount2", [166, 0, 0], "refused"],
  ["pivot_root", [155, 0, 0], "refused"],
  ["chroot", [161, 0], "refused"],
  ["open_tree", [428, -1, 0, 0], "refused"],
  ["move_mount", [429, -1, 0, -1, 0, 0], "refused"],
  ["fsopen", [430, 0, 0], "refused"],
  ["fsconfig", [431, -1, 0, 0, 0, 0], "refused"],
  ["fsmount", [432, -1, 0, 0], "refused"],
  ["fspick", [433, -1, 0, 0], "refused"],
  ["mount_setattr", [442, -1, 0, 0, 0, 0], "refused"],
  // Kernel surface.
  ["bpf", [321, 99, 0, 0], "refused"],
  ["perf_event_open", [298, 0, 0, 0, 0, 0], "refused"],
  ["userfaultfd", [323, 1], "refused"],
  ["io_uring_setup", [425, 0, 0], "absent"],
  ["io_uring_enter", [426, -1, 0, 0, 0, 0], "absent"],
  ["io_uring_register", [427, -1, 0, 0, 0], "absent"],
  ["add_key", [248, 0, 0, 0, 0, 0], "refused"],
  ["request_key", [249, 0, 0, 0, 0], "refused"],
  ["keyctl", [250, 999, 0, 0, 0, 0], "refused"],
  ["modify_ldt", [154, 0, 0, 0], "refused"],
  ["name_to_handle_at", [303, -1, 0, 0, 0, 0], "refused"],
  ["open_by_handle_at", [304, -1, 0, 0], "refused"],
  ["fanotify_init", [300, 0xff_ffff, 0], "refused"],
  ["lookup_dcookie", [212, 0, 0, 0], "refused"],
  ["quotactl", [179, 0, 0, 0, 0], "refused"],
  ["quotactl_fd", [443, -1, 0, 0, 0], "refused"],
  ["move_pages", [279, 0, 1, 0, 0, 0, 99], "refused"],
  ["mbind", [237, 0, 0, 99, 0, 0, 0], "refused"],
  ["personality without address randomisation", [135, 0x4_0000], "refused"],
  ["personality asked", [135, 0xffff_ffff], "done"],
  // The host's own affairs.
  ["syslog", [103, 99, 0, 0], "refused"],
  ["reboot", [169, 0, 0, 0, 0], "refused"],
  ["kexec_load", [246, 0, 0, 0, 0], "refused"],
  ["kexec_file_load", [320, -1, -1, 0, 0, 0], "refused"],
  ["init_module", [175, 0, 0, 0], "refused"],
  ["finit_module", [313, -1, 0, 0], "refused"],
  ["delete_module", [176, 0, 0], "refused"],
  ["swapon", [167, 0, 0], "refused"],
  ["swapoff", [168, 0], "refused"],
  ["acct", [163, 0], "refused"],
  ["settimeofday", [164, 0, 0], "refused"],
  ["clock_settime", [227, 99, 0], "refused"],
  ["clock_adjtime", [305, 99, 0], "refused"],
  ["adjtimex", [159, 0], "refused"],
  ["sethostname", [170, 0, -1], "refused"],
  ["iopl", [172, 99], "refused"],
  ["ioperm", [173, 0, 0, 0], "refused"],
  ["vhangup", [153], "refused"],
  ["sync", [162], "absent"],
  ["syncfs", [306, -1], "absent"],
  // What a tool may well do.
  ["memfd_create", [319, "buffer", 0], "done"],
  ["execveat", [322, -1, 0, 0, 0, 0], "reached the kernel"],
  ["landlock_create_ruleset", [444, 0, 0, 99], "reached the kernel"],
  ["seccomp", [317, 99, 0, 0], "reached the kernel"],
  ["openat2", [437, -1, 0, 0, 0], "reached the kernel"],
  ["pidfd_open of itself", [434, 1, 0], "done"],
  ["mq_open", [240, 0, 0, 0, 0], "reached the kernel"],
  ["statx", [332, -1, 0, 0, 0, 0], "reached the kernel"],
];

const closeOnExec = 0x8_0000;
const sockets: readonly (readonly [string, readonly [number, number, number], Verdict])[] = [
  ["unix stream", [1, 1, 0], "done"],
  ["unix sequenced packets, closed on exec", [1, 5 | closeOnExec, 0], "done"],
  ["internet TCP", [2, 1, 0], "done"],
  ["internet TCP by number, closed on exec", [2, 1 | closeOnExec, 6], "done"],
  ["internet UDP", [2, 2, 17], "done"],
  ["internet 6 UDP", [10, 2, 0], "done"],
  ["route netlink", [16, 3 | closeOnExec, 0], "done"],
  ["internet raw", [2, 3, 1], "refused"],
  ["internet raw, closed on exec", [2, 3 | closeOnExec, 255], "refused"],
  ["internet 6 raw", [10, 3, 58], "refused"],
  ["ping", [2, 2, 1], "refused"],
  ["MPTCP", [2, 1, 262], "refused"],
  ["SCTP", [2, 1, 132], "refused"],
  ["DCCP", [2, 6, 33], "refused"],
  ["UDP-Lite", [2, 2, 136], "refused"],
  ["netfilter netlink", [16, 3, 12], "refused"],
  ["audit netlink", [16, 3, 9], "refused"],
  ["uevent netlink", [16, 3, 15], "refused"],
];

const openFamilies: ReadonlySet<number> = new Set([1, 2, 10, 16]);
const otherFamilies = Array.from({ length: 46 }, (_, family) => family).filter((family) => !openFamilies.has(family));

const lines: readonly string[] = [
  ...calls.map(([name, numbers]) => `${name.replaceAll(" ", "_")} ${numbers.join(" ")}`),
  ...sockets.map(([name, numbers]) => `socket:${name.replaceAll(" ", "_")} 41 ${numbers.join(" ")}`),
  ...otherFamilies.flatMap((family) => [1, 2, 3, 5].map((type) => `family:${family}:${type} 41 ${family} ${type} 0`)),
  ...otherFamilies.map((family) => `pair:${family} 53 ${family} 1 0 buffer`),
  "pair:1 53 1 1 0 buffer",
];

/** gVisor refuses all that is refused with EPERM, also what it has never heard of, and lets through what it must. */
const onGvisor: Readonly<Record<string, Verdict>> = {
  clone3: "reached the kernel",
  sync: "done",
  syncfs: "reached the kernel",
  io_uring_setup: "refused",
  io_uring_enter: "refused",
  io_uring_register: "refused",
  openat2: "refused",
  landlock_create_ruleset: "refused",
  // These get through the filter, and the sentry does not do them.
  "ioprio_set of itself": "refused",
  "personality asked": "reached the kernel",
  "pidfd_open of itself": "absent",
};

describe.each(["runc", "runsc"])("the seccomp profile on a real engine, under %s", (runtime) => {
  const wanted = (name: string, verdict: Verdict): Verdict => (runtime === "runsc" ? onGvisor[name] : null) ?? verdict;
  const answers = new Map<string, string>();
  const docker = testDocker();

  beforeAll(async () => {
    const { Architecture } = await docker.info();
    // The numbers above are this machine's.
    expect(Architecture).toBe("x86_64");
    const options = await productionOptions(docker, await ourImage(docker, "shell"), defaultLimits, runtime);
    const { stdout, stderr } = await runBare(docker, options, ["/usr/bin/perl", "-e", caller, lines.join("\n")]);
    expect(stderr).toBe("");
    for (const line of stdout.trim().split("\n")) {
      const space = line.indexOf(" ");
      answers.set(line.slice(0, space), line.slice(space + 1));
    }
  }, 60_000);

  test.each(calls)("%s(%j): %s on runc", (name, _numbers, verdict) => {
    expect(verdictOf(answers.get(name.replaceAll(" ", "_")))).toBe(wanted(name, verdict));
  });

  test.each(sockets)("a %s socket %j is %s", (name, _numbers, verdict) => {
    expect(verdictOf(answers.get(`socket:${name.replaceAll(" ", "_")}`))).toBe(verdict);
  });

  test.each(otherFamilies)("no socket of family %i, whatever its type", (family) => {
    expect([1, 2, 3, 5].map((type) => verdictOf(answers.get(`family:${family}:${type}`)))).toEqual(
      Array(4).fill("refused"),
    );
    expect(verdictOf(answers.get(`pair:${family}`))).toBe("refused");
  });

  test("a pair of local sockets is done", () => {
    expect(verdictOf(answers.get("pair:1"))).toBe("done");
  });

  test.each([
    [
      "python",
      [
        "python3",
        "-c",
        "import numpy, threading; threading.Thread(target=print, args=(numpy.arange(7).sum(),)).start()",
      ],
    ],
    ["node", ["node", "-e", "new (require('worker_threads').Worker)('console.log(21)', {eval: true})"]],
  ] as const)(
    "%s starts, with threads, under it",
    async (name, argv) => {
      const options = await productionOptions(docker, await ourImage(docker, name), defaultLimits, runtime);
      // The image's own search path, as a task has it.
      const { PATH } = Object.fromEntries(
        ((await docker.getImage(options.Image ?? "").inspect()).Config.Env ?? []).map((line) => line.split("=", 2)),
      );
      const ended = await runBare(docker, { ...options, Env: [`PATH=${PATH}`, "HOME=/workspace"] }, argv);
      expect(ended).toEqual({ exitCode: 0, stdout: "21\n", stderr: "" });
    },
    60_000,
  );

  test("a call of the x32 ABI gets nowhere", async () => {
    const options = await productionOptions(docker, await ourImage(docker, "shell"), defaultLimits, runtime);
    // x32 numbers: the same table of calls behind bit 30.
    const x32 =
      "my $pid = fork; if (!$pid) { syscall(0x40000000 | 39); print $! + 0; exit 0 } waitpid $pid, 0; print $? & 127";
    const { stdout } = await runBare(docker, options, ["/usr/bin/perl", "-e", x32]);
    // Ended by SIGSYS; gVisor refuses it and goes on.
    expect(stdout).toBe(runtime === "runsc" ? "10" : "31");
  }, 60_000);
});
