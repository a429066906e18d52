import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { FoundTask, Front } from "../ports/front.ts";

/** The task of that name. @throws ExecutorError validation, when there is none. */
export async function knownTask(front: Front, key: TaskKey, signal: AbortSignal): Promise<FoundTask> {
  const found = await front.get(key, 0, signal);
  if (found) return found;
  throw new ExecutorError("validation", `no task ${keyText(key)} in this data folder or on this server`, {
    hint: "toolx ps --all lists the tasks; --tenant names another tenant",
  });
}

/** The stored result of a task. @throws ExecutorError validation, when it is not known or not finished. */
export async function finishedResult(front: Front, key: TaskKey, signal: AbortSignal): Promise<Result> {
  const found = await knownTask(front, key, signal);
  if (found.resultBytes !== null) return JSON.parse(found.resultBytes.toString("utf8")) as Result;
  throw new ExecutorError("validation", `task ${keyText(key)} is ${found.summary.state}, not finished`, {
    hint: `toolx logs -f ${key.taskId} follows it`,
  });
}
