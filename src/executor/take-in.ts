import { taskRules } from "../egress/task-rules.ts";
import { ExecutorError } from "../model/failure.ts";
import { keyText, type Task, taskKey } from "../model/task.ts";
import type { Intake } from "../ports/task-store.ts";
import { requestSha256 } from "../schema/canonical.ts";
import { refuseLargeCommand } from "./command-size.ts";
import type { Parts } from "./parts.ts";
import { allowedSpec } from "./prepare.ts";
import { givenSecrets } from "./task-secrets.ts";

/**
 * Stores a task as QUEUED, or finds that it is known already: the way in, whatever door the request came through. What can be known
 * to be wrong beforehand is refused and not stored.
 * @throws ExecutorError validation | unknown_tool | policy_denied | conflict | quota, with nothing stored; internal when the store fails.
 */
export async function takeIn(
  parts: Parts,
  task: Task,
  signal: AbortSignal,
): Promise<Extract<Intake, { readonly kind: "accepted" | "duplicate" }>> {
  const tool = parts.catalog.find(task.tool_name);
  const command = tool.command(task);
  const { runtime } = allowedSpec(task, tool, command, parts.images, parts.policy);
  taskRules(task.network?.allow ?? [], parts.egress.tcp);
  await parts.sandboxes.requireRuntime(runtime, signal);
  const secrets = await givenSecrets(parts.secrets, task, signal);
  refuseLargeCommand({ ...command, env: { ...command.env, ...task.env }, secrets });
  const intake = await parts.store.intake(task, requestSha256(task), signal);
  switch (intake.kind) {
    case "accepted":
    case "duplicate":
      return intake;
    case "conflict":
      throw new ExecutorError("conflict", `task ${keyText(taskKey(task))} is known with another request`, {
        hint: "give a new task_id, or send exactly the first request again",
      });
    case "full":
      throw full(task, intake);
  }
}

function full(task: Task, { of, maxCount }: Extract<Intake, { readonly kind: "full" }>): ExecutorError {
  const whose = of === "tenant" ? `of tenant ${task.tenant_id}` : "of all tenants together";
  return new ExecutorError("quota", `${maxCount} tasks ${whose} wait already, and no more may`, {
    hint: "send the same request again when some of them have begun",
  });
}
