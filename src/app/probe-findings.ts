import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import type { Config } from "./config.ts";
import { type Finding, finding } from "./finding.ts";
import type { House } from "./house.ts";
import type { Probe } from "./probe.ts";

/** Far beyond what any probe needs, so that only the limit that is meant ends one. */
const probeSeconds = 20;

/**
 * Runs a probe's task as any other and compares: a finding for each of its checks. A task that cannot run is a failure of all of them.
 */
export async function probeFindings(
  house: House,
  probe: Probe,
  place: ProbePlace,
  config: Pick<Config, "limitRules">,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { checks } = probe;
  const { runtime } = place;
  let result: Result;
  try {
    result = await probed(house, probe, place, config, signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof ExecutorError)) throw error;
    return checks.map(({ name, tried, advice }) => ({
      name: under(runtime, name),
      verdict: "fail",
      tried,
      seen: error.message,
      advice,
    }));
  }
  signal.throwIfAborted();
  return checks.map(({ name, tried, advice, otherwise, look }) => {
    const { holds, seen } = look(result);
    // A task that could not run says more by its message than by what it did not do.
    const why = result.sandbox === null && result.error !== null ? result.error.message : seen;
    return finding(under(runtime, name), tried, { holds, seen: why }, { verdict: otherwise, advice });
  });
}

/** What the probe's task came to; null when it had no sandbox, which tells nothing of any wall. */
export async function probeResult(
  house: House,
  probe: Probe,
  place: ProbePlace,
  config: Pick<Config, "limitRules">,
  signal: AbortSignal,
): Promise<Result | null> {
  const result = await probed(house, probe, place, config, signal);
  return result.sandbox === null ? null : result;
}

export interface ProbePlace {
  readonly runtime: string;
  /** One that no other probe of this house has. */
  readonly number: number;
}

async function probed(
  house: House,
  { command, env, limits }: Probe,
  { runtime, number }: ProbePlace,
  { limitRules }: Pick<Config, "limitRules">,
  signal: AbortSignal,
): Promise<Result> {
  const request = {
    task_id: `probe-${number}`,
    tenant_id: "doctor",
    tool_name: "shell",
    payload: { command },
    runtime,
    env: env ?? {},
    limits: { timeout_seconds: Math.min(probeSeconds, limitRules.timeout_seconds.max), ...limits },
  };
  return await submit(house.parts, house.parseTask(request), { watcher: () => undefined, stdin: null }, signal);
}

/** What a finding under this runtime is called. */
export const under = (runtime: string, name: string): string => `${runtime}: ${name}`;
