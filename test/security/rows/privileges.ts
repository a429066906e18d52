import { attempt, type Battery, battery, type Try } from "../battery.ts";

/** A program that anybody can read, with the bit, the capability or the name that would raise who runs it. */
const raisers: readonly string[] = [
  "RUN cp /usr/bin/id /usr/local/bin/id-as-root && chmod 4755 /usr/local/bin/id-as-root",
  "RUN cp /usr/bin/id /usr/local/bin/id-as-group && chmod 2755 /usr/local/bin/id-as-group",
  // sudo and pkexec as far as it matters: owned by root, with the bit, running what they are given.
  "RUN cp /usr/bin/setpriv /usr/local/bin/sudo && chmod 4755 /usr/local/bin/sudo",
  "RUN chmod u+s /usr/bin/su /usr/bin/newgrp /usr/bin/mount /usr/bin/passwd && echo 'root::0:0:root:/root:/bin/sh' >/etc/passwd.root",
];

const capabilities: readonly (readonly [string, number])[] = [
  ["cap_dac_read_search", 2],
  ["cap_net_raw", 13],
  ["cap_sys_admin", 21],
];

// security.capability, version 2, of a program that prints who it is; with the effective flag the kernel starts it only if it can have it.
const withCapability = ([name, bit]: (typeof capabilities)[number]): string =>
  `RUN python3 -c 'import os, shutil, struct; [(shutil.copy("/usr/bin/grep", "/usr/local/bin/${name}-" + suffix), ` +
  `os.setxattr("/usr/local/bin/${name}-" + suffix, "security.capability", struct.pack("<IIIII", 0x02000000 | flag, 1 << ${bit}, 0, 0, 0))) ` +
  `for flag, suffix in ((1, "e"), (0, "p"))]'`;

const capabilitySets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

const itself = "str(os.getuid())";
const isItself = (command: string): string => `output(${command}) == ${itself}`;

const changes: readonly Try[] = [
  attempt("setuid(0)", "os.setuid(0)", "EPERM"),
  attempt("setreuid(0, 0)", "os.setreuid(0, 0)", "EPERM"),
  attempt("setgid(0)", "os.setgid(0)", "EPERM"),
  attempt("setgroups([0])", "os.setgroups([0])", "EPERM"),
  attempt("setfsuid(0)", "call(122, 0); call(122, -1) == 0", "False", "ENOSYS"),
  attempt(
    "capset of one",
    'call(126, buffer(8, struct.pack("Ii", 0x20080522, 0)), buffer(24, struct.pack("II", 1 << 21, 1 << 21)))',
    "EPERM",
  ),
  attempt("prctl: an ambient capability", "call(157, 47, 2, 21, 0, 0)", /^(EPERM|EINVAL)$/),
];

export const privilegeBatteries: readonly Battery[] = [
  battery(
    "B16",
    "programs of root",
    [
      attempt("a setuid copy of id", isItself('"id-as-root", "-u"'), "True"),
      attempt("a setgid copy of id", 'output("id-as-group", "-g") == str(os.getgid())', "True"),
      attempt("sudo", isItself('"sudo", "--reuid=0", "id", "-u"'), "False"),
      attempt("what sudo says", 'output("sudo", "--reuid=0", "id", "-u")', /Operation not permitted$/),
      attempt("su", 'output("su", "-c", "id -u")', /^exit 1: /),
      attempt("newgrp root", 'output("newgrp", "root")', /^exit [1-9]\d*: /),
      attempt("mount of a setuid mount", 'output("mount", "-t", "tmpfs", "none", "/tmp")', /^exit [1-9]\d*: /),
      attempt("NoNewPrivs", "str(call(157, 39, 0, 0, 0, 0))", "1"),
      ...changes,
    ],
    { imageLines: raisers },
  ),
  battery(
    "B17",
    "programs with capabilities",
    capabilities.flatMap(([name]) => [
      attempt(`${name}, effective`, `output("${name}-e", "^CapEff", "/proc/self/status").split()[1]`, "EPERM"),
      ...["CapPrm", "CapEff"].map((set) =>
        attempt(
          `${name}, permitted: ${set}`,
          `output("${name}-p", "^${set}", "/proc/self/status").split()[1]`,
          "0000000000000000",
        ),
      ),
    ]),
    { imageLines: capabilities.map(withCapability) },
  ),
  battery("B18", "capabilities", [
    ...capabilitySets.map((name) =>
      // gVisor knows no ambient ones.
      name === "CapAmb"
        ? attempt(name, `status("${name}") if "${name}" in read("/proc/self/status") else "0" * 16`, "0000000000000000")
        : attempt(name, `status("${name}")`, "0000000000000000"),
    ),
    attempt("the bounding set by prctl", "those(lambda one: call(157, 23, one, 0, 0, 0) == 1, range(41))", "none"),
  ]),
  battery("B35", "programs without a file", [
    attempt(
      "memfd and execveat",
      `held = os.memfd_create("x", 0)
os.write(held, open("/usr/bin/id", "rb").read())
made = os.fork()
if made == 0: call(322, held, b"", (ctypes.c_char_p * 3)(b"id", b"-u", None), (ctypes.c_char_p * 1)(None), 0x1000)
os.WEXITSTATUS(os.waitpid(made, 0)[1])`,
      "0",
    ),
    attempt(
      "memfd with the setuid bit",
      `held = os.memfd_create("x", 0)
os.write(held, open("/usr/bin/id", "rb").read())
os.fchmod(held, 0o4755)
output(f"/proc/{os.getpid()}/fd/{held}", "-u") == ${itself}`,
      "True",
    ),
    attempt(
      "a program in /tmp",
      `import shutil; shutil.copy("/usr/bin/id", "/tmp/own"); ${isItself('"/tmp/own", "-u"')}`,
      "True",
    ),
    attempt(
      "a program in /tmp with the setuid bit",
      `import shutil; shutil.copy("/usr/bin/id", "/tmp/raised"); os.chmod("/tmp/raised", 0o6755); ${isItself('"/tmp/raised", "-u"')}`,
      "True",
    ),
    attempt(
      "the same, given to root first",
      `import shutil; shutil.copy("/usr/bin/id", "/tmp/given"); os.chown("/tmp/given", 0, 0)`,
      "EPERM",
    ),
    ...["/output", "/dev/shm", "/run/toolx"].map((place) =>
      attempt(
        `a program in ${place}`,
        `import shutil; shutil.copy("/usr/bin/id", "${place}/own"); output("${place}/own")`,
        /^(EACCES|PermissionError.*)$/,
      ),
    ),
    attempt(
      "a file capability of its own",
      `import shutil; shutil.copy("/usr/bin/id", "/tmp/capable"); os.setxattr("/tmp/capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0))`,
      /^(EPERM|ENOTSUP|EOPNOTSUPP)$/,
    ),
  ]),
];
