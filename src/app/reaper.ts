import { hostLiveness } from "../adapters/disk/host-liveness.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import { dockerInventory } from "../adapters/docker/inventory.ts";
import { concludeFailure } from "../executor/conclude.ts";
import type { ReapPorts } from "../loops/reap.ts";
import { ExecutorError } from "../model/failure.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import { encodeResult } from "../schema/encode-result.ts";
import type { Config } from "./config.ts";
import { dockerAt, maxStrikes, openArchive, systemClock } from "./house.ts";

/** Beyond the longest task: what an executor of another host made is then nobody's any more. */
const slackMs = 60_000;

/**
 * What one pass of the reaper works with, where there is no server: tasks of the dead end, as nobody would take them up.
 * @throws ExecutorError validation | internal, with nothing left open.
 */
export async function openReaper(config: Config): Promise<ReapPorts & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { store } = stack.use(await openArchive(config));
  const liveness = stack.use(await hostLiveness(config.runtimeDir));
  const ports = await reapPorts(config, { store, liveness });
  const held = stack.move();
  return { ...ports, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** The same on a store and a liveness that are open already. */
export async function reapPorts(config: Config, open: Pick<ReapPorts, "store" | "liveness">): Promise<ReapPorts> {
  return {
    ...open,
    scratch: await diskScratch(config.sandboxRoot),
    inventory: dockerInventory(dockerAt(config.dockerHost)),
    clock: systemClock,
    mayRunAgain: null,
    adopt: null,
    mayBeAdopted: () => false,
    isUnderWay: () => false,
    concludeLost,
    // One may have stood ready before it got its task. Ours may be off, and the other's on.
    maxAgeMs: config.warm.maxAgeMs + config.limitRules.timeout_seconds.max * 1000 + slackMs,
  };
}

function concludeLost(record: TaskRecord): ReturnType<ReapPorts["concludeLost"]> {
  const now = systemClock.now();
  const tries = record.strikes + 1;
  // A task may be what its executors die of: that is ours to look into, so it goes to the dead letters.
  const error =
    tries < maxStrikes
      ? new ExecutorError("worker_lost", "the executor that ran the task died before it ended")
      : new ExecutorError(
          "internal",
          `given up after ${tries} tries: each time the executor that had it died, or it got no sandbox`,
          {
            hint: "toolx dlq ls lists it; look into what it does to the executor before it is replayed",
          },
        );
  const timings = {
    queueMs: record.startedAt === null ? null : record.startedAt - record.receivedAt,
    startMs: null,
    durationMs: now - record.receivedAt,
  };
  const result = concludeFailure(record.task, error, { attempt: record.attempt, timings });
  return { result, bytes: encodeResult(result) };
}
