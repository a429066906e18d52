import { setTimeout as sleep } from "node:timers/promises";
import type { ReapReport } from "./reap.ts";

export interface KeepReapingOptions {
  readonly everyMs: number;
  /** One pass of the reaper. */
  readonly pass: (signal: AbortSignal) => Promise<ReapReport>;
  readonly onReport: (report: ReapReport) => void;
  /** A pass that failed as a whole; the next one comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

/** Pass after pass until `stop` aborts; the first at once. */
export async function keepReaping(options: KeepReapingOptions, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      options.onReport(await options.pass(stop));
    } catch (error) {
      if (stop.aborted) return;
      options.onFailure(error);
    }
    await sleep(options.everyMs, undefined, { signal: stop }).catch(() => undefined);
  }
}
