import { ExecutorError } from "../model/failure.ts";
import type { OutboxRow } from "../model/outbox.ts";
import { type JsonObject, keyText, type Task, type TaskKey } from "../model/task.ts";
import type { TaskStore } from "../ports/task-store.ts";
import { parseLooseJson } from "../schema/parse-json.ts";
import { defaultMaxRequestBytes, requestCaps } from "../schema/request-caps.ts";
import type { ParseTask } from "../schema/task-parser.ts";

/** A replay of a replay of a replay is the last. */
const maxReplays = 3;

/** What a letter's replay is called, so that replaying it twice is once. */
export const replayIdOf = (letter: Pick<OutboxRow, "id">): string => `dlq-${letter.id}`;

/** A letter of a callback stands for a result that was not brought there, every other one for a request. */
export const isCallbackLetter = ({ headers }: Pick<OutboxRow, "headers">): boolean =>
  headers["dlq-stage"] === "callback";

/**
 * A task that has ended, as a new one: the same request under today's rules, without its times, with `metadata.replay_of`.
 * @throws ExecutorError validation | policy_denied, for a task that is not there or has not ended, or for one replay too many.
 */
export async function replayOfTask(
  store: TaskStore,
  parseTask: ParseTask,
  key: TaskKey,
  taskId: string,
  signal: AbortSignal,
): Promise<Task> {
  const record = await store.get(key, signal);
  if (record === null) throw new ExecutorError("validation", `there is no task ${keyText(key)}`);
  if (record.state !== "FINISHED")
    throw new ExecutorError("validation", `task ${keyText(key)} is ${record.state}, must be FINISHED to be replayed`);
  const request = { ...record.task };
  return await replayed(store, parseTask, { ...request, metadata: { ...request.metadata } }, taskId, signal);
}

/** The same of a dead letter's request. @throws as {@link replayOfTask}; validation too, for bytes that are no request. */
export async function replayOfLetter(
  store: TaskStore,
  parseTask: ParseTask,
  letter: OutboxRow,
  signal: AbortSignal,
): Promise<Task> {
  const caps = requestCaps(defaultMaxRequestBytes);
  const request = parseLooseJson(letter.value, { subject: "request", code: "validation", caps });
  if (!isObject(request)) throw new ExecutorError("validation", `dead letter ${letter.id} holds no request`);
  return await replayed(store, parseTask, request, replayIdOf(letter), signal);
}

async function replayed(
  store: TaskStore,
  parseTask: ParseTask,
  request: object,
  taskId: string,
  signal: AbortSignal,
): Promise<Task> {
  const { task_id, metadata } = request as { readonly task_id?: unknown; readonly metadata?: unknown };
  const told = isObject(metadata) ? metadata : {};
  const again = { ...request, task_id: taskId, not_before: null, expires_at: null };
  const task = parseTask({
    ...again,
    metadata: { ...told, ...(typeof task_id === "string" && { replay_of: task_id }) },
  });
  await refuseEndless(store, task, signal);
  return task;
}

/** Follows who is whose replay, as far as the store knows them. */
async function refuseEndless(store: TaskStore, task: Task, signal: AbortSignal): Promise<void> {
  let metadata: JsonObject | undefined = task.metadata;
  for (let depth = 0; typeof metadata?.replay_of === "string"; depth += 1) {
    if (depth === maxReplays)
      throw new ExecutorError(
        "policy_denied",
        `this would be replay number ${depth + 1} in a row, at most ${maxReplays}`,
        {
          hint: "what fails each time is not mended by another try; send it as a request of its own",
        },
      );
    const before = await store.get({ tenantId: task.tenant_id, taskId: metadata.replay_of }, signal);
    metadata = before?.task.metadata;
  }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
