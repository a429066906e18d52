import { keyText, type TaskKey } from "../model/task.ts";
import type { CliContext } from "./context.ts";
import { say } from "./io.ts";
import { openFrontOf } from "./server.ts";

/**
 * `toolx cancel`: idempotent. A queued task ends here; for a running one the executor that has it is woken. A task not seen yet is
 * remembered for a quarter of an hour.
 */
export async function cancelCommand(context: CliContext, key: TaskKey): Promise<void> {
  const { io } = context;
  await using front = await openFrontOf(context);
  const cancelled = await front.cancel(key, io.interrupt);
  switch (cancelled.kind) {
    case "unknown":
      return say(io, `${keyText(key)} is not known here yet; it will be cancelled if it comes within 15 minutes`);
    case "over":
      return say(io, `${key.taskId} has ended already (${cancelled.reason ?? "unknown"})`);
    case "ended":
      return say(io, `${key.taskId} is cancelled`);
    case "asked":
      return say(io, `${key.taskId} is being cancelled`);
  }
}
