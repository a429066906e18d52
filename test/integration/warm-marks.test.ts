import { expect, test } from "vitest";
import { warmHouse } from "../support/warm-house.ts";

test("none is ever used twice: 500 tasks leave marks, and none finds one", { timeout: 590_000 }, async () => {
  await using house = await warmHouse(4, { TOOL_EXECUTOR_MAX_WORKERS: "4" });
  const marked = `for d in /workspace /tmp /output /dev/shm; do test -e $d/mark && echo used $d; touch $d/mark; done
ls -A /workspace /output | grep -v -e mark -e : ; test -e /proc/self/fd/4 && echo descriptor; id -u`;
  const results: { readonly stdout: string; readonly warm: boolean }[] = [];
  const worker = async (): Promise<void> => {
    while (results.length < 500) {
      // Many are to be warm: one is waited for, though not for ever where the machine has much else to do.
      await house.ready(1, 1000).catch(() => undefined);
      const { output, sandbox } = await house.run(marked);
      results.push({ stdout: output?.stdout ?? "", warm: sandbox?.warm ?? false });
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  const users = results.map(({ stdout }) => stdout.trim());
  expect(users.filter((user) => !/^\d+$/.test(user))).toEqual([]);
  // Each sandbox has a user of its own.
  expect(new Set(users).size).toBe(results.length);
  expect(results.filter(({ warm }) => warm).length).toBeGreaterThan(100);
});
