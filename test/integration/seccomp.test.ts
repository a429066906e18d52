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
 * What a task may do. What it may not is tried by the hostile suite, with the same settings (test/security/rows/kernel-calls.ts,
 * socket-families.ts and others), call by call and as a whole; here stands the other side of it, and each rule that looks at arguments.
 *
 * Name, number on x86_64 and arguments. Where the kernel itself would refuse too, the arguments are wrong on purpose:
 * a call that passes the filter then fails with another error.
 */
const calls: readonly (readonly [string, readonly (number | "buffer")[], Verdict])[] = [
  // On itself only.
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
  // Processes, by a way that makes no namespace.
  ["fork by clone", [56, 17, 0, 0, 0, 0], "done"],
  ["clone3", [435, "buffer", 0], "absent"],
  // Its own execution.
  ["personality asked", [135, 0xffff_ffff], "done"],
  // Answered as by a kernel that lacks them.
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
];

const lines: readonly string[] = [
  ...calls.map(([name, numbers]) => `${name.replaceAll(" ", "_")} ${numbers.join(" ")}`),
  ...sockets.map(([name, numbers]) => `socket:${name.replaceAll(" ", "_")} 41 ${numbers.join(" ")}`),
  "pair:1 53 1 1 0 buffer",
];

/** gVisor refuses all that is refused with EPERM, also what it has never heard of, and lets through what it must. */
const onGvisor: Readonly<Record<string, Verdict>> = {
  clone3: "reached the kernel",
  sync: "done",
  syncfs: "reached the kernel",
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
});
