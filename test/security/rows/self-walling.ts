import { attempt, type Battery, battery } from "../battery.ts";

const noNewPrivileges = "call(157, 38, 1, 0, 0, 0)";

// Handles READ_FILE and WRITE_FILE, with no rule: every file is refused from then on.
const landlock = `ruleset = call(444, buffer(8, struct.pack("Q", 6)), 8, 0)
${noNewPrivileges}
call(446, ruleset, 0)
`;

// Answers errno 99 to getppid (110) and lets everything else through, laid over the sandbox's own filter.
const ownFilter = `class Program(ctypes.Structure): _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, 110), (0x06, 0, 0, 0x00050000 | 99), (0x06, 0, 0, 0x7fff0000)]
code = buffer(32, b"".join(struct.pack("HBBI", *one) for one in lines))
${noNewPrivileges}
call(317, 1, 0, ctypes.byref(Program(4, ctypes.addressof(code))))
`;

const openFilter = ownFilter.replace("0x00050000 | 99", "0x7fff0000");

// Where no Debian mirror answers the build: what bubblewrap does first.
const bubblewrap = [
  "RUN (apt-get update && apt-get install -y --no-install-recommends bubblewrap) >/dev/null 2>&1 || " +
    "(printf '%s\\n' '#!/bin/sh' 'exec unshare --user --mount true' >/usr/local/bin/bwrap && chmod 755 /usr/local/bin/bwrap)",
];

/** A tool may wall itself in further, and no wall of its own opens one of ours. */
export const selfWallingBatteries: readonly Battery[] = [
  battery(
    "B36",
    "walls that a tool builds itself",
    [
      attempt("landlock's version", "call(444, 0, 0, 1) >= 1", "True", "EPERM"),
      attempt("a file under landlock", `${landlock}opens("/etc/passwd")`, "EACCES", "EPERM"),
      attempt(
        "a file of its own under landlock",
        `open("/tmp/own", "w").close()\n${landlock}opens("/tmp/own", W)`,
        "EACCES",
        "EPERM",
      ),
      attempt("a filter of its own", `${ownFilter}call(110)`, "EADDRNOTAVAIL"),
      attempt("what a filter of its own lets through", `${openFilter}call(272, 0)`, "EPERM"),
      attempt("the strict mode in their place", "call(157, 22, 1, 0, 0, 0)", "EINVAL"),
      attempt(
        "bubblewrap",
        'output("bwrap", "--ro-bind", "/", "/", "true")',
        /^exit 1: .*(not permitted|No permissions).*$/,
      ),
      attempt(
        "bubblewrap with every namespace",
        'output("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true")',
        /^exit 1: .*(not permitted|No permissions).*$/,
      ),
    ],
    { imageLines: bubblewrap },
  ),
];
