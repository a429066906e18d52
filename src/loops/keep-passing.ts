import { setTimeout as sleep } from "node:timers/promises";

export interface KeepPassingOptions<Report> {
  readonly everyMs: number;
  readonly pass: (signal: AbortSignal) => Promise<Report>;
  readonly onReport: (report: Report) => void;
  /** A pass that failed as a whole; the next one comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

/** Pass after pass until `stop` aborts, which ends the one under way too; the first at once. Never rejects. */
export async function keepPassing<Report>(options: KeepPassingOptions<Report>, stop: AbortSignal): Promise<void> {
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
