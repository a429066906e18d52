import { expect, test } from "vitest";
import { metrics } from "../../../src/observe/metrics.ts";
import { aResult } from "../../support/samples.ts";

const silent = (signal: AbortSignal): Promise<number | null> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

test("a store that does not answer takes no other figure with it, and what is missing now is all that is named", {
  timeout: 20_000,
}, async () => {
  const counted = metrics();
  const missing = [["store", "wall runc: no network"], ["store"]];
  counted.gauges({
    warm: () => ({ ready: 2, starting: 1 }),
    running: () => 3,
    slots: () => 4,
    droppedLogEntries: () => 0,
    droppedSpans: () => 0,
    missing: async () => missing[0] ?? [],
    diskFree: async () => ({ data: 0.25 }),
    outboxAgeMs: silent,
    lag: () => (missing.length > 1 ? { tools: 3, control: 0 } : {}),
  });
  const text = await counted.text();
  expect(text).toContain("tool_executor_running 3");
  expect(text).toContain("tool_executor_ready 0");
  expect(text).toContain('tool_executor_missing{name="wall runc: no network"} 1');
  expect(text).toContain('tool_executor_disk_free_ratio{place="data"} 0.25');
  expect(text).toContain('tool_executor_lag_messages{channel="tools"} 3');
  missing.shift();
  const later = await counted.text();
  expect(later).toContain('tool_executor_missing{name="store"} 1');
  expect(later).not.toContain("wall runc");
  // Without a partition there is no lag, which is not a lag of none.
  expect(later).not.toContain("tool_executor_lag_messages{");
});

test("how often secrets were taken out is counted by tool, and a task without any counts none", async () => {
  const counted = metrics();
  const finished = (tool_name: string | null, redactions: number): void => {
    const result = aResult({ tool_name });
    counted.taskFinished({ ...result, metrics: { ...result.metrics, redactions } });
  };
  finished("shell", 3);
  finished("shell", 4);
  finished("http", 0);
  finished(null, 1);
  const lines = (await counted.text()).split("\n").filter((line) => line.startsWith("tool_executor_redactions_total"));
  expect(lines.sort()).toEqual([
    'tool_executor_redactions_total{tool="http"} 0',
    'tool_executor_redactions_total{tool="shell"} 7',
    'tool_executor_redactions_total{tool="unknown"} 1',
  ]);
});
