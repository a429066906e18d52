import { ExecutorError } from "../model/failure.ts";
import type { CliContext } from "./context.ts";
import { badFlag } from "./quantities.ts";

export interface ReplayFlags {
  readonly buffered?: boolean;
  readonly dryRun?: boolean;
  readonly output: "text" | "json";
}

/** `toolx replay --buffered`: brings to the database what waits for it. */
export async function replayCommand(
  context: CliContext,
  taskId: string | undefined,
  { buffered = false, dryRun = false, output }: ReplayFlags,
): Promise<void> {
  if (buffered) {
    if (taskId !== undefined) throw badFlag("--buffered", taskId, "no task id beside it: all that waits is replayed");
    const { replayBuffered } = await import("./replay-buffered.ts");
    return await replayBuffered(context, dryRun, output === "json");
  }
  throw new ExecutorError("policy_denied", "toolx replay of a task is not built yet", {
    hint: "toolx replay --buffered brings to the database what waits for it",
  });
}
