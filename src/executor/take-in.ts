import { ExecutorError } from "../model/failure.ts";
import { keyText, type Task, taskKey } from "../model/task.ts";
import type { Intake } from "../ports/task-store.ts";
import { requestSha256 } from "../schema/canonical.ts";
import type { Parts } from "./parts.ts";
import { allowedSpec } from "./prepare.ts";

/**
 * Stores a task as QUEUED, or finds that it is known already: the way in, whatever door the request came through. What can be known
 * to be wrong beforehand is refused and not stored.
 * @throws ExecutorError validation | unknown_tool | policy_denied | conflict, with nothing stored; internal when the store fails.
 */
export async function takeIn(
  parts: Parts,
  task: Task,
  signal: AbortSignal,
): Promise<Exclude<Intake, { readonly kind: "conflict" }>> {
  const tool = parts.catalog.find(task.tool_name);
  const { runtime } = allowedSpec(task, tool, tool.command(task), parts.images, parts.policy);
  await parts.sandboxes.requireRuntime(runtime, signal);
  const intake = await parts.store.intake(task, requestSha256(task), signal);
  if (intake.kind !== "conflict") return intake;
  throw new ExecutorError("conflict", `task ${keyText(taskKey(task))} is known with another request`, {
    hint: "give a new task_id, or send exactly the first request again",
  });
}
