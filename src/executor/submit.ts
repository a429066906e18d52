import { setTimeout as sleep } from "node:timers/promises";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type Task, type TaskKey, taskKey } from "../model/task.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { attemptTask, type Following } from "./attempt-task.ts";
import { endQueued } from "./end-queued.ts";
import type { Parts } from "./parts.ts";
import type { Slot } from "./slots.ts";
import { takeIn } from "./take-in.ts";

const pollMs = 100;

/**
 * Takes one task in, runs it here, and answers with its stored result. A task that is known already is answered with its first
 * result, waited for when it still runs somewhere.
 * @throws ExecutorError validation | unknown_tool | policy_denied | conflict, with nothing stored; internal when the store fails.
 */
export async function submit(parts: Parts, task: Task, following: Following, cancel: AbortSignal): Promise<Result> {
  await takeIn(parts, task, cancel);
  await following.watcher({ kind: "state", state: "QUEUED" });
  await notBefore(task, parts, cancel);
  return await finished(parts, taskKey(task), following, cancel);
}

async function finished(parts: Parts, key: TaskKey, following: Following, cancel: AbortSignal): Promise<Result> {
  for (;;) {
    const record = await known(parts, key);
    if (record.resultBytes) return JSON.parse(record.resultBytes.toString("utf8")) as Result;
    await refuseLost(parts, record);
    const turn = record.state === "QUEUED" ? await oneTurn(parts, record, following, cancel) : "waiting";
    if (turn === "given back") continue;
    if (turn !== "waiting") return turn;
    if (!cancel.aborted) await sleep(pollMs, undefined, { signal: cancel }).catch(() => undefined);
    // Not ours to end: whoever runs it goes on.
    else if (!(await endQueued(parts.store, parts.clock, record, never))) throw cancel.reason;
  }
}

/** Nobody will end a task whose executor is dead but the reaper: waiting for it would be for ever. */
async function refuseLost({ liveness }: Parts, { owner, task }: TaskRecord): Promise<void> {
  if (owner === null || (await liveness.stateOf(owner, never)) !== "dead") return;
  throw new ExecutorError("worker_lost", `task ${keyText(taskKey(task))}: the executor that ran it died`, {
    hint: "toolx gc ends the task and removes what is left of it",
  });
}

/** One try at a queued task, with a slot of its own. `waiting`: somebody else has it, or its time is to come. */
async function oneTurn(
  parts: Parts,
  record: TaskRecord,
  following: Following,
  cancel: AbortSignal,
): Promise<Result | "given back" | "waiting"> {
  const key = taskKey(record.task);
  using _slot = await slotOrCancel(parts, key, cancel);
  const attempt = await parts.store.leaseTask(key, parts.liveness.self, parts.policy.leaseMs, never);
  if (attempt === null) return "waiting";
  return (await attemptTask(parts, attempt, record, following, cancel)) ?? "given back";
}

/** Null when the task was cancelled while it waited: to end it needs no sandbox. */
async function slotOrCancel(parts: Parts, key: TaskKey, cancel: AbortSignal): Promise<Slot | null> {
  try {
    return await parts.slots.take(key.tenantId, cancel);
  } catch (error) {
    if (cancel.aborted) return null;
    throw error;
  }
}

async function known(parts: Parts, key: TaskKey): Promise<TaskRecord> {
  const record = await parts.store.get(key, never);
  if (!record) throw new ExecutorError("internal", `task ${keyText(key)} is gone from the store`);
  return record;
}

async function notBefore(task: Task, { clock }: Parts, cancel: AbortSignal): Promise<void> {
  if (task.not_before === null) return;
  const waitMs = Date.parse(task.not_before) - clock.now();
  if (waitMs > 0) await sleep(waitMs, undefined, { signal: cancel }).catch(() => undefined);
}

const never: AbortSignal = new AbortController().signal;
