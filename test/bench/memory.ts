import { setTimeout as sleep } from "node:timers/promises";
import { type Figures, figures } from "./figures.ts";
import type { Part } from "./part.ts";
import { memoryMib } from "./process-cost.ts";
import { startServing, withoutPool } from "./serving.ts";

const barMiB = 150;
const tasks = 25;
/** After a start, or after tasks, until it is looked at; and how often. */
const settleMs = 5000;
const looks = 10;
const lookEveryMs = 500;

/** The resident memory of a server that has nothing to do: after its start, and after tasks. */
export const memoryPart: Part = {
  name: "memory",
  async measure(bench) {
    await using server = await startServing(bench, "server", withoutPool);
    const afterStart = await idle(server.pid);
    for (let number = 0; number < tasks; number += 1)
      await server.succeed({ task_id: `bench-${number}`, tool_name: "shell", payload: { argv: ["true"] } }, false);
    const afterTasks = await idle(server.pid);
    return {
      conditions: { server: "toolx serve: SQLite, files, HTTP, no pool", task: "true in the image shell" },
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
  },
};

async function idle(pid: number): Promise<Figures> {
  await sleep(settleMs);
  const seen: number[] = [];
  for (let look = 0; look < looks; look += 1) {
    seen.push(await memoryMib(pid, "VmRSS"));
    await sleep(lookEveryMs);
  }
  return figures(seen);
}
