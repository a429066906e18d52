import type { CliContext } from "./context.ts";
import { badFlag } from "./quantities.ts";

export interface ReplayFlags {
  readonly taskId?: string;
  readonly tenant: string;
  readonly output: string;
}

/** `toolx replay ID`: a task that has ended once more, as a new one. */
export async function replayCommand(context: CliContext, taskId: string, flags: ReplayFlags): Promise<void> {
  const id = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
  const allowed = "1 to 63 letters, digits, _ and -";
  if (!id.test(taskId)) throw badFlag("task id", taskId, allowed);
  if (!id.test(flags.tenant)) throw badFlag("--tenant", flags.tenant, allowed);
  if (flags.taskId !== undefined && !id.test(flags.taskId)) throw badFlag("--task-id", flags.taskId, allowed);
  const { replayTask } = await import("./replay-task.ts");
  await replayTask(context, { tenantId: flags.tenant, taskId }, flags.taskId ?? null, flags.output === "json");
}
