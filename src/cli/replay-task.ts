import { randomBytes } from "node:crypto";
import { exitCodeOf } from "../executor/conclude.ts";
import { replayOfTask } from "../executor/replay.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import type { TaskKey } from "../model/task.ts";
import { encodeResult } from "../schema/encode-result.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";
import { type RunOutput, runOutput, watcherOf } from "./run-output.ts";
import { follow } from "./run-remote.ts";
import { openServer } from "./server.ts";
import { summaryLines } from "./summary.ts";

/**
 * The request of a task that has ended, as a new task: on the server where there is one, otherwise here. Shown as `toolx run` shows it, and
 * the exit code is the new task's.
 */
export async function replayTask(
  context: CliContext,
  key: TaskKey,
  newId: string | null,
  json: boolean,
): Promise<void> {
  const { io } = context;
  const taskId = newId ?? `t-${randomBytes(5).toString("hex")}`;
  const cancel = new AbortController();
  const onInterrupt = (): void => cancel.abort(io.interrupt.reason);
  io.interrupt.addEventListener("abort", onInterrupt, { once: true });
  if (io.interrupt.aborted) onInterrupt();
  const onReaderGone = (): void => cancel.abort(new ExecutorError("cancelled", "the reader of its output went away"));
  await using output = runOutput(io, json, onReaderGone);
  await using server = await openServer(context);
  const result =
    server === null
      ? await replayedHere(context, key, taskId, output, cancel.signal)
      : await follow(server, await server.replay(key, taskId, cancel.signal), output, cancel.signal);
  if (json) await written(io.stdout, Buffer.concat([encodeResult(result), Buffer.from("\n")]));
  else for (const line of summaryLines(result)) say(io, line);
  context.exitWith(exitCodeOf(result));
}

async function replayedHere(
  context: CliContext,
  key: TaskKey,
  taskId: string,
  output: RunOutput,
  cancel: AbortSignal,
): Promise<Result> {
  const { openHouse } = await import("../app/house.ts");
  await using house = await openHouse(context.config());
  const task = await replayOfTask(house.parts.store, house.parseTask, key, taskId, cancel);
  return await submit(house.parts, task, { watcher: watcherOf(output), stdin: null }, cancel);
}
