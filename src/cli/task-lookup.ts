import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { TaskRecord, TaskStore } from "../ports/task-store.ts";

/** The task of that name. @throws ExecutorError validation, when there is none. */
export async function knownTask(store: TaskStore, key: TaskKey, signal: AbortSignal): Promise<TaskRecord> {
  const record = await store.get(key, signal);
  if (record) return record;
  throw new ExecutorError("validation", `no task ${keyText(key)} in this data folder`, {
    hint: "toolx ps --all lists the tasks; --tenant names another tenant",
  });
}

/** The stored result of a task. @throws ExecutorError validation, when it is not known or not finished. */
export async function finishedResult(store: TaskStore, key: TaskKey, signal: AbortSignal): Promise<Result> {
  const record = await knownTask(store, key, signal);
  if (record.resultBytes) return JSON.parse(record.resultBytes.toString("utf8")) as Result;
  throw new ExecutorError("validation", `task ${keyText(key)} is ${record.state}, not finished`, {
    hint: `toolx logs -f ${key.taskId} follows it`,
  });
}
