import { expect } from "vitest";
import { exitCodeOf } from "../../../src/executor/conclude.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { processesOf } from "../../support/process-facts.ts";
import {
  attack,
  brief,
  cleanupMs,
  expectReason,
  type HostileCase,
  hostile,
  isCovering,
  isGvisor,
  program,
  python,
  shell,
} from "../hostile-case.ts";

const graceMs = 1000;
const quickCount = isCovering ? 40 : 200;

const exits: readonly HostileCase[] = [
  ["exit 0", 0, null, 0],
  ["exit 1", 1, null, 1],
  ["exit 126", 126, null, 126],
  ["exit 127", 127, null, 127],
  ["exit 137", 137, null, 137],
  ["kill -9 $$", null, "SIGKILL", 137],
  ["exit 139", 139, null, 139],
  ["kill -SEGV $$", null, "SIGSEGV", 139],
  ["exit 143", 143, null, 143],
  ["kill -TERM $$", null, "SIGTERM", 143],
  ["exit 255", 255, null, 255],
].map(([command, code, signal, cliExit]) =>
  attack(
    "C6",
    `${command}`,
    shell(String(command)),
    ({ result }) => {
      // Never "oom" for 137 nor "cancelled" for 143: a task may end itself so.
      expectReason(result, code === 0 ? "ok" : "nonzero_exit");
      expect([result.exit_code, result.signal, exitCodeOf(result)]).toEqual([code, signal, cliExit]);
    },
    brief,
  ),
);

const badTimeouts: readonly HostileCase[] = [0, -1, Number.NaN, 1e12, "10", null].map((timeout) =>
  hostile(
    "C15",
    `a timeout of ${typeof timeout === "string" ? `"${timeout}"` : timeout}`,
    async (ground) => {
      const key = { tenantId: "default", taskId: "never" };
      const body = {
        task_id: key.taskId,
        tool_name: "shell",
        payload: { command: "true" },
        limits: { timeout_seconds: timeout },
      };
      const error = await ground.refused(body);
      if (!(error instanceof ExecutorError)) throw error;
      expect(error.code).toBe("validation");
      expect(error.details.map(({ path }) => path)).toContain("/limits/timeout_seconds");
      if (typeof timeout === "number" && Number.isFinite(timeout))
        expect(error.message).toMatch(/at least 1\b|at most 3600\b/);
      expect(await ground.house.parts.store.get(key, new AbortController().signal)).toBeNull();
    },
    brief,
  ),
);

export const lifecycleRows: readonly HostileCase[] = [
  attack(
    "C1",
    "a task that traps TERM and INT",
    shell("trap '' TERM INT; sleep 9999", { timeout_seconds: 1 }),
    ({ result }) => {
      expectReason(result, "timeout");
      expect((result.metrics.run_ms ?? 0) + cleanupMs(result)).toBeLessThanOrEqual(1000 + graceMs + 1000);
    },
  ),
  attack(
    "C2",
    "a process in a session of its own is left behind",
    shell("setsid sleep 9999 >/dev/null & exit 0"),
    ({ result, sandboxId }) => {
      expectReason(result, "ok");
      expect(processesOf(sandboxId ?? "no sandbox")).toEqual([]);
    },
    brief,
  ),
  attack(
    "C4",
    "a child that keeps stdout",
    shell("(sleep 9999 &) ; echo done"),
    ({ result }) => {
      expectReason(result, "ok");
      expect(result.output.stdout).toBe("done\n");
      expect(result.metrics.run_ms).toBeLessThan(1000);
    },
    brief,
  ),
  ...exits,
  hostile("C7", `${quickCount} tasks that end before anybody could attach`, async (ground) => {
    const lanes = Array.from({ length: 2 }, async (_, lane) => {
      for (let at = 0; at < quickCount / 2; at += 1) {
        const { result } = await ground.run(program(["echo", `${lane} ${at}`]));
        expectReason(result, "ok");
        expect(result.output.stdout).toBe(`${lane} ${at}\n`);
      }
    });
    await Promise.all(lanes);
  }),
  attack(
    "C8",
    "100 zombies that nobody waits for",
    python("import os, time\nfor _ in range(100):\n  if os.fork() == 0: os._exit(0)\ntime.sleep(99)", {
      timeout_seconds: 2,
    }),
    ({ result }) => {
      expectReason(result, "timeout");
      // A zombie counts in a cgroup of the host's, and not in gVisor's own.
      expect(result.metrics.pids_peak).toBeGreaterThan(isGvisor(result) ? 0 : 100);
      expect(cleanupMs(result)).toBeLessThan(2000);
    },
  ),
  attack(
    "C8",
    "100 orphans that sandbox-init must wait for",
    python(
      `import os, time
for _ in range(100):
    if os.fork() == 0:
        if os.fork() == 0: time.sleep(0.05)
        os._exit(0)
    os.wait()
end = time.monotonic() + 5
while len([p for p in os.listdir("/proc") if p.isdigit()]) > 3 and time.monotonic() < end: time.sleep(0.01)
print(len([p for p in os.listdir("/proc") if p.isdigit()]))`,
    ),
    ({ result }) => {
      expectReason(result, "ok");
      expect(Number(result.output.stdout), "processes seen inside").toBeLessThanOrEqual(3);
    },
    brief,
  ),
  ...badTimeouts,
];
