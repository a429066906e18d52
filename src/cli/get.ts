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
  const found = await knownTask(front, key, io.interrupt);
  if (json) {
    const bytes = found.resultBytes ?? Buffer.from(JSON.stringify(found.summary));
    return await written(io.stdout, Buffer.concat([bytes, Buffer.from("\n")]));
  }
  if (found.resultBytes === null) return await written(io.stdout, `${key.taskId} is ${found.summary.state}\n`);
  const result = JSON.parse(found.resultBytes.toString("utf8")) as Result;
  await written(io.stdout, `${summaryLines(result).join("\n")}\n`);
  for (const stream of ["stdout", "stderr"] as const) {
    if (result.output[stream] === "") continue;
    const filter = terminalText();
    const text = filter.write(Buffer.from(result.output[stream])) + filter.end();
    const encoding = result.output[`${stream}_encoding`] === "base64" ? ", base64" : "";
    await written(io.stdout, `--- ${stream} (${result.output[`${stream}_bytes`]} bytes${encoding})\n${text}\n`);
  }
}
