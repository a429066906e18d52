import type { TaskState } from "../model/task.ts";
import type { CliContext } from "./context.ts";
import { table, written } from "./io.ts";
import { badFlag } from "./quantities.ts";
import { openFrontOf } from "./server.ts";
import { duration } from "./summary.ts";

const unfinished: readonly TaskState[] = ["RECEIVED", "QUEUED", "LEASED", "STARTING", "RUNNING", "COLLECTING"];

/** `toolx ps`: tasks of one tenant, newest first; without `all` those that have not ended. */
export async function psCommand(
  context: CliContext,
  flags: { readonly all?: boolean; readonly limit: string; readonly output: string; readonly tenant: string },
): Promise<void> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
    throw badFlag("--limit", flags.limit, "a whole number, 1 to 1000");
  await using front = await openFrontOf(context);
  const states = flags.all === true ? null : unfinished;
  const { tasks } = await front.list({ tenantId: flags.tenant, limit, states, olderThan: null }, context.io.interrupt);
  if (flags.output === "json")
    return await written(context.io.stdout, tasks.map((summary) => `${JSON.stringify(summary)}\n`).join(""));
  const now = Date.now();
  const rows = tasks.map(({ task_id, tool_name, state, reason, received_at, finished_at }) => {
    const receivedAt = Date.parse(received_at);
    return [
      task_id,
      tool_name,
      state === "FINISHED" ? (reason ?? "-") : state.toLowerCase(),
      `${duration(now - receivedAt)} ago`,
      duration((finished_at === null ? now : Date.parse(finished_at)) - receivedAt),
    ];
  });
  await written(context.io.stdout, table([["TASK", "TOOL", "STATE", "RECEIVED", "TOOK"], ...rows]));
}
