import type { CliContext } from "./context.ts";
import { badFlag } from "./quantities.ts";

export interface ReplayFlags {
  readonly buffered?: boolean;
  readonly dryRun?: boolean;
  readonly taskId?: string;
  readonly tenant: string;
  readonly output: string;
}

/** `toolx replay ID`: a task that has ended once more, as a new one. `toolx replay --buffered`: brings to the database what waits for it. */
export async function replayCommand(
  context: CliContext,
  taskId: string | undefined,
  flags: ReplayFlags,
): Promise<void> {
  const isJson = flags.output === "json";
  if (flags.buffered === true) {
    if (taskId !== undefined) throw badFlag("--buffered", taskId, "no task id beside it: all that waits is replayed");
    const { replayBuffered } = await import("./replay-buffered.ts");
    return await replayBuffered(context, flags.dryRun ?? false, isJson);
  }
  if (flags.dryRun === true) throw badFlag("--dry-run", "true", "with --buffered only");
  const id = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
  const allowed = "1 to 63 letters, digits, _ and -";
  if (taskId === undefined) throw badFlag("task id", "nothing", `${allowed}, or --buffered`);
  if (!id.test(taskId)) throw badFlag("task id", taskId, allowed);
  if (!id.test(flags.tenant)) throw badFlag("--tenant", flags.tenant, allowed);
  if (flags.taskId !== undefined && !id.test(flags.taskId)) throw badFlag("--task-id", flags.taskId, allowed);
  const { replayTask } = await import("./replay-task.ts");
  await replayTask(context, { tenantId: flags.tenant, taskId }, flags.taskId ?? null, isJson);
}
