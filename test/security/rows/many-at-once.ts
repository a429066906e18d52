import { expect } from "vitest";
import type { Reason } from "../../../src/model/failure.ts";
import { until } from "../../support/until.ts";
import type { Request } from "../ground.ts";
import { expectReason, type HostileCase, hostile, isCovering, program, python, shell } from "../hostile-case.ts";

const taskCount = isCovering ? 24 : 100;

/** A1 to A5, small enough to be many. */
const attacks: readonly { readonly request: Request; readonly ends: readonly Reason[] }[] = [
  {
    request: program(["bash", "-c", ":(){ :|:& };:; while :; do :; done"], { pids: 64, timeout_seconds: 1 }),
    ends: ["timeout"],
  },
  {
    request: python("import os\nwhile 1:\n try: (os.fork() or os.setsid())\n except OSError: pass", {
      pids: 64,
      timeout_seconds: 1,
    }),
    ends: ["timeout"],
  },
  { request: python("a=[]\nwhile 1:a.append(bytearray(1<<20))", { memory_mb: 64 }), ends: ["oom"] },
  { request: shell("head -c 100G /dev/zero >/tmp/x"), ends: ["disk_full"] },
];

export const manyAtOnceRows: readonly HostileCase[] = [
  hostile(
    "A22",
    `${taskCount} of A1 to A5 at once`,
    async (ground) => {
      const { parts, config } = ground.house;
      let most = 0;
      let running = 0;
      const each = Array.from({ length: taskCount }, async (_, at) => {
        const attack = attacks[at % attacks.length];
        if (attack === undefined) throw new Error("no attack");
        const { result } = await ground.run(attack.request, {
          watcher: (event) => {
            if (event.kind !== "state") return;
            if (event.state === "RUNNING") running += 1;
            if (event.state === "FINISHED") running -= 1;
            most = Math.max(most, running);
          },
        });
        expectReason(result, ...attack.ends);
        expect(result.attempt).toBe(1);
      });
      await Promise.all(each);
      expect(most, "sandboxes at once").toBeLessThanOrEqual(config.maxWorkers);
      const left = await until(
        "no row that is not finished",
        async () =>
          (
            await parts.store.list(
              { states: ["QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING"], limit: 10 },
              new AbortController().signal,
            )
          ).length === 0,
        1000,
      );
      expect(left).toBe(true);
    },
    { neighbourFactor: 5 },
  ),
];
