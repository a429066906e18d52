import type { Result } from "../model/result.ts";
import type { TaskKey } from "../model/task.ts";
import type { CliContext } from "./context.ts";
import { written } from "./io.ts";
import { openFrontOf } from "./server.ts";
import { summaryLines } from "./summary.ts";
import { knownTask } from "./task-lookup.ts";
import { terminalText } from "./terminal-text.ts";

/** `toolx get`: the stored result, byte for byte with `-o json`; the state of a task that has none yet. */
export async function getCommand(context: CliContext, key: TaskKey, json: boolean): Promise<void> {
  const { io } = context;
  await using front = await openFrontOf(context);
  const { summary, resultBytes } = await knownTask(front, key, io.interrupt);
  if (json) {
    const bytes = resultBytes ?? Buffer.from(JSON.stringify(summary));
    return await written(io.stdout, Buffer.concat([bytes, Buffer.from("\n")]));
  }
  if (!resultBytes) return await written(io.stdout, `${key.taskId} is ${summary.state}\n`);
  const result = JSON.parse(resultBytes.toString("utf8")) as Result;
  await written(io.stdout, `${summaryLines(result).join("\n")}\n`);
  for (const stream of ["stdout", "stderr"] as const) {
    if (result.output[stream] === "") continue;
    const filter = terminalText();
    const text = filter.write(Buffer.from(result.output[stream])) + filter.end();
    const encoding = result.output[`${stream}_encoding`] === "base64" ? ", base64" : "";
    await written(io.stdout, `--- ${stream} (${result.output[`${stream}_bytes`]} bytes${encoding})\n${text}\n`);
  }
}
