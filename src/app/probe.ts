import type { Limits } from "../model/limits.ts";
import type { Result } from "../model/result.ts";

/** One task that goes against a limit, and what must come of it. */
export interface Probe {
  readonly command: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly limits: Partial<Limits>;
  readonly checks: readonly Check[];
}

/** Compares what a probe's task came to with what must hold. */
export interface Check {
  readonly name: string;
  readonly tried: string;
  readonly advice: string;
  /** Where it does not hold: `warn` for what this runtime is known not to give. */
  readonly otherwise: "warn" | "fail";
  readonly look: (result: Result) => { readonly holds: boolean; readonly seen: string };
}
