import { setTimeout as sleep } from "node:timers/promises";
import type { SweepReport } from "./sweep.ts";

export interface KeepSweepingOptions {
  readonly everyMs: number;
  /** One pass over what is past its time. */
  readonly pass: (signal: AbortSignal) => Promise<SweepReport>;
  readonly onReport: (report: SweepReport) => void;
  /** A pass that failed; the next one goes on where it stopped. */
  readonly onFailure: (error: unknown) => void;
}

/** Pass after pass until `stop` aborts, the first at once. Nobody waits for it. */
export async function keepSweeping(options: KeepSweepingOptions, stop: AbortSignal): Promise<void> {
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
