import type { Retirement, WarmPool, WarmSeed } from "../adapters/wrap/warm-pool.ts";
import { warmPool } from "../adapters/wrap/warm-pool.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { filledLimits } from "../schema/task-parser.ts";
import type { Config } from "./config.ts";
import { type House, systemClock } from "./house.ts";

/** The sandboxes of a server, some of which stand ready; null where none is to. Nothing is started before `begin`. */
export function serverPool(config: Config, { parts }: House, counted: Metrics, log: Log): WarmPool | null {
  const { maxCount, memoryBytes, maxAgeMs } = config.warm;
  if (maxCount === 0) return null;
  return warmPool(parts.sandboxes, {
    bounds: { maxCount, memoryBytes, maxAgeMs },
    seeds: config.warm.min === 0 ? [] : config.warm.images.map((name) => seedOf(name, config, parts)),
    clock: systemClock,
    told: {
      given: (outcome, waitMs) => counted.warmGiven(outcome, waitMs / 1000),
      aged: (ageMs) => counted.warmAged(ageMs / 1000),
      retired(why: Retirement) {
        counted.warmRetired(why);
        if (why === "lost" || why === "unfit") log.note("warn", "warm.retired", { why });
      },
      failed(error) {
        counted.warmFailed();
        const message = error instanceof Error ? error.message : String(error);
        log.note("warn", "warm.failed", { reason: reasonOf(error), message });
      },
    },
  });
}

/** What a task gets that names this image and asks for nothing more. */
function seedOf(name: string, config: Config, { images, policy }: House["parts"]): WarmSeed {
  return {
    min: config.warm.min,
    async spec(signal) {
      const image = await images.resolve(name, signal);
      if (image === null)
        throw new ExecutorError(
          "validation",
          `TOOL_EXECUTOR_WARM_POOL_IMAGES names ${name}; there are ${images.names().join(", ")}`,
        );
      return { image, runtime: policy.runtimes[0] ?? "runc", limits: filledLimits({}, {}, config) };
    },
  };
}
