import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../support/until.ts";
import { type Figures, figures } from "./figures.ts";
import type { Part } from "./part.ts";

const barMiB = 150;
const tasks = 25;
const startMs = 30_000;
/** After a start, or after tasks, until it is looked at; and how often. */
const settleMs = 5000;
const looks = 10;
const lookEveryMs = 500;

/** The resident memory of a server that has nothing to do: after its start, and after tasks. */
export const memoryPart: Part = {
  name: "memory",
  async measure({ checkout, env }) {
    const child = spawn(join(checkout, "bin/toolx"), ["serve"], {
      env: { ...env, TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-65_536);
    });
    try {
      const address = await until(
        "the server serves",
        () => {
          if (child.exitCode !== null) throw new Error(`toolx serve ended: ${said}`);
          return /^serving {2}(http:\S+)/m.exec(said)?.[1];
        },
        startMs,
      );
      const afterStart = await idle(child.pid);
      for (let number = 0; number < tasks; number += 1) await run(address, `bench-${number}`);
      const afterTasks = await idle(child.pid);
      return {
        conditions: { server: "toolx serve as it comes: SQLite, files, HTTP", task: "true in the image shell" },
        tables: [
          {
            title: `MiB resident (VmRSS), ${looks} looks, ${settleMs / 1000} s after the last thing it did`,
            rows: [
              ["idle after its start", afterStart],
              [`idle after ${tasks} tasks`, afterTasks],
            ],
          },
        ],
        verdicts: [
          { name: "idle after its start, most", value: afterStart.max, unit: "MiB", bar: { atMost: barMiB } },
          { name: `idle after ${tasks} tasks, most`, value: afterTasks.max, unit: "MiB", bar: { atMost: barMiB } },
        ],
      };
    } finally {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await once(child, "exit");
      }
    }
  },
};

async function idle(pid: number | undefined): Promise<Figures> {
  await sleep(settleMs);
  const seen: number[] = [];
  for (let look = 0; look < looks; look += 1) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    seen.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024);
    await sleep(lookEveryMs);
  }
  return figures(seen);
}

async function run(address: string, task_id: string): Promise<void> {
  const answer = await fetch(`${address}/v1/tasks?wait=30s`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ task_id, tool_name: "shell", payload: { argv: ["true"] } }),
  });
  const result = (await answer.json()) as { readonly reason?: string };
  if (result.reason !== "ok") throw new Error(`${task_id}: ${answer.status} ${JSON.stringify(result)}`);
}
