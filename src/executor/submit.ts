import { setTimeout as sleep } from "node:timers/promises";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type Task, type TaskKey, taskKey } from "../model/task.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { requestSha256 } from "../schema/canonical.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { concludeFailure } from "./conclude.ts";
import { executeTask } from "./execute-task.ts";
import type { Parts, Watcher } from "./parts.ts";
import { allowedSpec } from "./prepare.ts";
import type { Slot } from "./slots.ts";

/** How a caller follows the one task it asked for. */
export interface Following {
  readonly watcher: Watcher;
  readonly stdin: AsyncIterable<Uint8Array> | null;
}

/** A pause before another try of a sandbox that could not be made; doubled each time. */
const retryDelayMs = 100;
const pollMs = 100;

/**
 * Takes one task in, runs it here, and answers with its stored result. A task that is known already is answered with its first
 * result, waited for when it still runs somewhere.
 * @throws ExecutorError validation | unknown_tool | policy_denied | conflict, with nothing stored; internal when the store fails.
 */
export async function submit(parts: Parts, task: Task, following: Following, cancel: AbortSignal): Promise<Result> {
  await refuseBeforehand(parts, task, cancel);
  const key = taskKey(task);
  const intake = await parts.store.intake(task, requestSha256(task), cancel);
  if (intake.kind === "conflict") {
    throw new ExecutorError("conflict", `task ${keyText(key)} is known with another request`, {
      hint: "give a new task_id, or send exactly the first request again",
    });
  }
  await following.watcher({ kind: "state", state: "QUEUED" });
  await notBefore(task, parts, cancel);
  return await finished(parts, key, following, cancel);
}

/** What can be known to be wrong is refused before anything is stored. */
async function refuseBeforehand(parts: Parts, task: Task, cancel: AbortSignal): Promise<void> {
  const tool = parts.catalog.find(task.tool_name);
  const { runtime } = allowedSpec(task, tool, tool.command(task), parts.images, parts.policy);
  await parts.sandboxes.requireRuntime(runtime, cancel);
}

async function finished(parts: Parts, key: TaskKey, following: Following, cancel: AbortSignal): Promise<Result> {
  for (let tries = 0; ; tries += 1) {
    const record = await known(parts, key);
    if (record.resultBytes) return JSON.parse(record.resultBytes.toString("utf8")) as Result;
    await refuseLost(parts, record);
    const turn = record.state === "QUEUED" ? await oneTurn(parts, record, following, cancel) : "waiting";
    if (turn === "given back") await sleep(retryDelayMs * 2 ** Math.min(tries, 6));
    else if (turn !== "waiting") return turn;
    else if (!cancel.aborted) await sleep(pollMs, undefined, { signal: cancel }).catch(() => undefined);
    // Not ours to end: whoever runs it goes on.
    else if (!(await cancelledUnleased(parts, record))) throw cancel.reason;
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
  const { task, receivedAt, strikes } = record;
  const key = taskKey(task);
  using _slot = await slotOrCancel(parts, key, cancel);
  const attempt = await parts.store.leaseTask(key, parts.liveness.self, parts.policy.leaseMs, never);
  if (attempt === null) return "waiting";
  using cancelled = cancelledEarly(record, cancel);
  const line = { attempt, task, receivedAt, strikes, ...following };
  return (await executeTask(parts, line, cancelled.signal)) ?? "given back";
}

/** Ends a task that still waits for its time. False: it waits no longer. */
async function cancelledUnleased({ store, clock }: Parts, record: TaskRecord): Promise<boolean> {
  const { task, attempt, receivedAt } = record;
  const waitedMs = clock.now() - receivedAt;
  const timings = { queueMs: waitedMs, startMs: null, durationMs: waitedMs };
  const result = concludeFailure(task, new ExecutorError("cancelled", "cancelled before it started"), {
    attempt,
    timings,
  });
  return store.finishUnleased(taskKey(task), { attempt, owner: null }, result, encodeResult(result), never);
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

/** A cancel that came before the task could be leased. */
function cancelledEarly(record: TaskRecord, cancel: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  if (record.cancelRequested) controller.abort(new ExecutorError("cancelled", "cancelled before it started"));
  const follow = (): void => controller.abort(cancel.reason);
  if (cancel.aborted) follow();
  else cancel.addEventListener("abort", follow, { once: true });
  return { signal: controller.signal, [Symbol.dispose]: () => cancel.removeEventListener("abort", follow) };
}

async function notBefore(task: Task, { clock }: Parts, cancel: AbortSignal): Promise<void> {
  if (task.not_before === null) return;
  const waitMs = Date.parse(task.not_before) - clock.now();
  if (waitMs > 0) await sleep(waitMs, undefined, { signal: cancel }).catch(() => undefined);
}

const never: AbortSignal = new AbortController().signal;
