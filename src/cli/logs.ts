import { logStart } from "../model/log-position.ts";
import type { TaskKey } from "../model/task.ts";
import type { CliContext } from "./context.ts";
import { written } from "./io.ts";
import { openFrontOf } from "./server.ts";
import { knownTask } from "./task-lookup.ts";
import { taskOutput } from "./task-output.ts";

/**
 * `toolx logs`: what a task wrote, its stdout on ours and its stderr on ours; `-o json` prints the lines of the log object. With `-f`
 * it goes on while the task runs, from any terminal of this host or of the server's clients.
 */
export async function logsCommand(
  context: CliContext,
  key: TaskKey,
  flags: { readonly follow?: boolean; readonly output: string },
): Promise<void> {
  const { io } = context;
  await using front = await openFrontOf(context);
  await knownTask(front, key, io.interrupt);
  const output = taskOutput(io);
  for await (const event of front.events(key, logStart, flags.follow === true, io.interrupt)) {
    if (event.kind !== "line") continue;
    if (flags.output === "json") await written(io.stdout, `${event.line}\n`);
    else await output.line(event.line);
  }
  if (!io.interrupt.aborted) await output.end();
}
