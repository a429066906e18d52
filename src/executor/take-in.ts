import { taskRules } from "../egress/task-rules.ts";
import { ExecutorError } from "../model/failure.ts";
import { keyText, type Task, taskKey } from "../model/task.ts";
import type { Beginning, Intake, Leased, TaskStore } from "../ports/task-store.ts";
import { requestSha256 } from "../schema/canonical.ts";
import { refuseLargeCommand } from "./command-size.ts";
import type { Parts } from "./parts.ts";
import { type AllowedSpec, allowedSpec } from "./prepare.ts";
import { givenSecrets } from "./task-secrets.ts";

/** Has a task's first attempt begin in the very write that takes the task in, where that can be. */
export interface AtOnce {
  /** Null: the task is to wait for its turn. */
  prepared(task: Task, allowed: AllowedSpec): Promise<PreparedAttempt | null>;
}

/** What an attempt needs to begin, held for it. */
export interface PreparedAttempt {
  readonly beginning: Beginning;
  /** Called once, with what came of it. `unknown`: it finds out by itself. Null: it does not begin. */
  settled(begun: Leased | "unknown" | null): void;
}

/** Whether a task that was taken in waits for nobody. */
export const hasBegun = (intake: Intake): boolean =>
  intake.kind === "accepted" && intake.begun !== undefined && intake.begun !== "unknown";

/**
 * Stores a task, as QUEUED unless it begins at once, or finds that it is known already: the way in, whatever door the request came through. What can be known
 * to be wrong beforehand is refused and not stored.
 * @throws ExecutorError validation | unknown_tool | policy_denied | conflict | quota, with nothing stored; internal when the store fails.
 */
export async function takeIn(
  parts: Parts,
  task: Task,
  signal: AbortSignal,
  atOnce: AtOnce | null = null,
): Promise<Extract<Intake, { readonly kind: "accepted" | "duplicate" }>> {
  const tool = parts.catalog.find(task.tool_name);
  const command = tool.command(task);
  const allowed = allowedSpec(task, tool, command, parts.images, parts.policy);
  taskRules(task.network?.allow ?? [], parts.egress.tcp);
  await parts.sandboxes.requireRuntime(allowed.runtime, signal);
  const secrets = await givenSecrets(parts.secrets, task, signal);
  refuseLargeCommand({ ...command, env: { ...command.env, ...task.env }, secrets });
  const prepared = (await atOnce?.prepared(task, allowed)) ?? null;
  const intake = await taken(parts.store, task, prepared, signal);
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

async function taken(
  store: TaskStore,
  task: Task,
  prepared: PreparedAttempt | null,
  signal: AbortSignal,
): Promise<Intake> {
  try {
    const intake = await store.intake(task, requestSha256(task), signal, prepared?.beginning);
    prepared?.settled(intake.kind === "accepted" ? (intake.begun ?? null) : null);
    return intake;
  } catch (error) {
    prepared?.settled("unknown");
    throw error;
  }
}

function full(task: Task, { of, maxCount }: Extract<Intake, { readonly kind: "full" }>): ExecutorError {
  const whose = of === "tenant" ? `of tenant ${task.tenant_id}` : "of all tenants together";
  return new ExecutorError("quota", `${maxCount} tasks ${whose} wait already, and no more may`, {
    hint: "send the same request again when some of them have begun",
  });
}
