import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { openArchive } from "../app/house.ts";
import { concludeFailure } from "../executor/conclude.ts";
import { ExecutorError } from "../model/failure.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import { encodeResult } from "../schema/encode-result.ts";
import type { CliContext } from "./context.ts";
import { say } from "./io.ts";

/** How long a cancel waits for its task, should it come later. */
const stubTtlMs = 15 * 60 * 1000;

/**
 * `toolx cancel`: idempotent. A queued task ends here; for a running one the executor that has it is woken. A task not seen yet is
 * remembered for a quarter of an hour.
 */
export async function cancelCommand(context: CliContext, key: TaskKey): Promise<void> {
  const { io } = context;
  const config = context.config();
  await using archive = await openArchive(config);
  const record = await archive.store.requestCancel(key, stubTtlMs, io.interrupt);
  if (record === null)
    return say(io, `${keyText(key)} is not known here yet; it will be cancelled if it comes within 15 minutes`);
  if (record.state === "FINISHED") return say(io, `${key.taskId} has ended already (${record.reason ?? "unknown"})`);
  if (record.owner === null) {
    const error = new ExecutorError("cancelled", "cancelled before it started");
    const timings = {
      queueMs: Date.now() - record.receivedAt,
      startMs: null,
      durationMs: Date.now() - record.receivedAt,
    };
    const result = concludeFailure(record.task, error, { attempt: record.attempt, timings });
    const expected = { attempt: record.attempt, owner: null };
    if (await archive.store.finishUnleased(key, expected, result, encodeResult(result), io.interrupt))
      return say(io, `${key.taskId} is cancelled`);
  } else {
    await using liveness = await hostLiveness(config.runtimeDir);
    await liveness.poke(record.owner, io.interrupt);
  }
  say(io, `${key.taskId} is being cancelled`);
}
