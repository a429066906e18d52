import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import { dockerInventory } from "../adapters/docker/inventory.ts";
import { concludeFailure } from "../executor/conclude.ts";
import type { ReapPorts } from "../loops/reap.ts";
import { ExecutorError } from "../model/failure.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { encodeResult } from "../schema/encode-result.ts";
import type { Config } from "./config.ts";
import { dockerAt, openArchive, systemClock } from "./house.ts";

/** Beyond the longest task: what an executor of another host made is then nobody's any more. */
const slackMs = 60_000;

/** What one pass of the reaper works with. @throws ExecutorError validation | internal, with nothing left open. */
export async function openReaper(config: Config): Promise<ReapPorts & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { store } = stack.use(await openArchive(config));
  const liveness = stack.use(await hostLiveness(config.runtimeDir));
  const scratch = await diskScratch(config.sandboxRoot);
  const held = stack.move();
  return {
    store,
    liveness,
    scratch,
    inventory: dockerInventory(dockerAt(config.dockerHost)),
    clock: systemClock,
    concludeLost,
    maxAgeMs: config.limitRules.timeout_seconds.max * 1000 + slackMs,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function concludeLost(record: TaskRecord): ReturnType<ReapPorts["concludeLost"]> {
  const now = systemClock.now();
  const error = new ExecutorError("worker_lost", "the executor that ran the task died before it ended");
  const timings = {
    queueMs: record.startedAt === null ? null : record.startedAt - record.receivedAt,
    startMs: null,
    durationMs: now - record.receivedAt,
  };
  const result = concludeFailure(record.task, error, { attempt: record.attempt, timings });
  return { result, bytes: encodeResult(result) };
}
