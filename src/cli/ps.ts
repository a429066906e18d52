import { openArchive } from "../app/house.ts";
import type { TaskState } from "../model/task.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import type { CliContext } from "./context.ts";
import { table, written } from "./io.ts";
import { badFlag } from "./quantities.ts";
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
  await using archive = await openArchive(context.config());
  const filter = { tenantId: flags.tenant, limit, ...(flags.all ? {} : { states: unfinished }) };
  const records = await archive.store.list(filter, context.io.interrupt);
  if (flags.output === "json") {
    return await written(context.io.stdout, records.map((record) => `${JSON.stringify(summaryOf(record))}\n`).join(""));
  }
  const now = Date.now();
  const rows = records.map(({ task, state, reason, receivedAt, finishedAt }) => [
    task.task_id,
    task.tool_name,
    state === "FINISHED" ? (reason ?? "-") : state.toLowerCase(),
    `${duration(now - receivedAt)} ago`,
    duration((finishedAt ?? now) - receivedAt),
  ]);
  await written(context.io.stdout, table([["TASK", "TOOL", "STATE", "RECEIVED", "TOOK"], ...rows]));
}

/** One task without its payload and result, as `ps -o json` and `get` show it. */
export function summaryOf(record: TaskRecord): object {
  const { task, state, attempt, reason, cancelRequested } = record;
  const time = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());
  return {
    tenant_id: task.tenant_id,
    task_id: task.task_id,
    tool_name: task.tool_name,
    state,
    reason,
    attempt,
    cancel_requested: cancelRequested,
    received_at: time(record.receivedAt),
    started_at: time(record.startedAt),
    finished_at: time(record.finishedAt),
  };
}
