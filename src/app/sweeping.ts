import { join } from "node:path";
import { removeLogFiles } from "../adapters/disk/log-files.ts";
import { keepPassing } from "../loops/keep-passing.ts";
import { type SweepPorts, type SweepReport, sweepOnce } from "../loops/sweep.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Config } from "./config.ts";
import { type Archive, systemClock } from "./house.ts";

const everyMs = 10 * 60_000;

/** Takes away what is past its time, in a server, until `stop` aborts. */
export function sweeping(
  config: Config,
  archive: Pick<Archive, "store" | "objects">,
  counted: Metrics,
  log: Log,
  stop: AbortSignal,
): Promise<void> {
  const ports = sweepPorts(config, archive);
  return keepPassing(
    {
      everyMs,
      pass: (signal) => sweepOnce(ports, signal),
      onReport: (report) => tellSwept(report, counted, log),
      onFailure(error) {
        counted.sweepFailed();
        log.note("error", "sweep.failed", { message: error instanceof Error ? error.message : String(error) });
      },
    },
    stop,
  );
}

/** What one pass works with. */
export function sweepPorts(
  { dataDir, retention, kafka }: Config,
  { store, objects }: Pick<Archive, "store" | "objects">,
): SweepPorts {
  return {
    ...{ store, objects, retention, clock: systemClock },
    removeLines: (key, lastAttempt) => removeLogFiles(join(dataDir, "logs"), key, lastAttempt),
    // Without a relay these wait for ever.
    abandoned: kafka === null ? ["result", "dead_letter"] : [],
  };
}

function tellSwept(report: SweepReport, counted: Metrics, log: Log): void {
  for (const [kind, count] of Object.entries(report)) counted.swept(kind, count);
  if (Object.values(report).some((count) => count > 0)) log.note("info", "swept", { ...report });
}
