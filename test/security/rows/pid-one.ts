import { expect } from "vitest";
import { attack, brief, expectReason, type HostileCase, isGvisor, python } from "../hostile-case.ts";

const calls = `
import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
def tell(name, answer): print(name, "done" if answer >= 0 else os.strerror(ctypes.get_errno()))
two = (ctypes.c_ulong * 2)(1, 1)
tell("prlimit", libc.prlimit(1, 0, two, None))
tell("setpriority", libc.setpriority(0, 1, 19))
mask = ctypes.c_ulong(1)
tell("affinity", libc.sched_setaffinity(1, 8, ctypes.byref(mask)))
param = ctypes.c_int(0)
tell("scheduler", libc.sched_setscheduler(1, 5, ctypes.byref(param)))
tell("ioprio", libc.syscall(251, 1, 1, 3 << 13))
raise SystemExit(7)
`;

const signals = `
import os, signal
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError as e: print(number, e.strerror)
# Again as a flood: a handler that runs for each would starve what it should be doing.
for _ in range(10000):
    for number in (signal.SIGURG, signal.SIGCHLD, 32, 34): os.kill(1, number)
print("sent")
raise SystemExit(7)
`;

// It returns only when its children have nothing left to take, and then ends while they still fork.
const bomb = `
import os, time
def child():
    try: return os.fork() == 0
    except OSError: return False  # the others were faster
for _ in range(4):
    if child():
        while True: child()
end = time.monotonic() + 1.5
while time.monotonic() < end: pass
print("full")
raise SystemExit(7)
`;

const mustExit7 = (name: string, code: string, stdout: string, traits = {}): HostileCase =>
  attack(
    "C17",
    name,
    python(code, { pids: 64 }),
    ({ result }) => {
      expect(result.output.stdout).toBe(stdout);
      expect(result.exit_code).toBe(7);
      expectReason(result, "nonzero_exit", "pids_limit");
    },
    traits,
  );

export const pidOneRows: readonly HostileCase[] = [
  mustExit7(
    "limits, priority and processors of PID 1",
    calls,
    ["prlimit", "setpriority", "affinity", "scheduler", "ioprio"]
      .map((name) => `${name} Operation not permitted\n`)
      .join(""),
    brief,
  ),
  attack(
    "C17",
    "every signal to PID 1",
    python(signals, { pids: 64 }),
    ({ result }) => {
      expectReason(result, "nonzero_exit");
      // SIGKILL gets there from inside: its sender has ended its own sandbox, and nothing else.
      if (isGvisor(result)) return expect([result.exit_code, result.output.stdout]).toEqual([null, ""]);
      expect([result.exit_code, result.output.stdout]).toEqual([7, "sent\n"]);
    },
    brief,
  ),
  mustExit7("a fork bomb that leaves PID 1 no thread", bomb, "full\n"),
];
