import { engineFacts } from "../adapters/docker/engine-facts.ts";
import { listImages } from "../adapters/docker/images.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import type { Config } from "./config.ts";
import { engineFindings, imageFindings } from "./engine-findings.ts";
import { type Finding, finding, notTried } from "./finding.ts";
import { hostFindings } from "./host-findings.ts";
import { allowedRuntimes, dockerAt, type House } from "./house.ts";
import type { Probe } from "./probe.ts";
import { probes } from "./probes.ts";
import { scratchHouse } from "./scratch-house.ts";

/**
 * Looks at the host and the engine, then runs one task against each limit and wall, as any other task runs. Findings come in
 * order, as they are known. What the tasks leave is in a scratch folder of this process alone, gone when the last finding is out.
 * @param imagesDir where the images' recipes are.
 */
export async function* examine(config: Config, imagesDir: string, signal: AbortSignal): AsyncGenerator<Finding> {
  const host = await hostFindings(config);
  yield* host;
  const engine = await engineRoom(config, imagesDir, signal);
  yield* engine;
  const broken = [...host, ...engine].find(({ verdict, name }) => verdict === "fail" && neededByProbes.has(name));
  if (broken === undefined) yield* probed(config, signal);
  else yield* notProbed(config, `first mend: ${broken.name}`);
}

/** Without these no task can run, and every probe would only say the same. */
const neededByProbes: ReadonlySet<string> = new Set([
  "scratch folder",
  "runtime folder",
  "engine",
  "runtime",
  "architecture",
  "image shell",
]);

async function engineRoom(config: Config, imagesDir: string, signal: AbortSignal): Promise<readonly Finding[]> {
  const docker = dockerAt(config.dockerHost);
  try {
    const facts = await engineFacts(docker, signal);
    return [
      ...engineFindings(facts, allowedRuntimes),
      ...imageFindings(await listImages(docker, imagesDir, config.baseImage, signal)),
    ];
  } catch (error) {
    if (signal.aborted || !(error instanceof ExecutorError)) throw error;
    const advice = `start it (systemctl start docker, or npm start in the checkout), or set DOCKER_HOST to where it listens; this user must be allowed to use it (group docker)`;
    return [
      { name: "engine", verdict: "fail", tried: `reach it at ${config.dockerHost}`, seen: error.message, advice },
    ];
  }
}

/** Two at a time: the third would only make the host's own load part of what is measured. */
const atOnce = 2;

async function* probed(config: Config, signal: AbortSignal): AsyncGenerator<Finding> {
  await using house = await scratchHouse(config, "doctor");
  const all = probes(config.graceMs);
  for (let at = 0; at < all.length; at += atOnce) {
    const found = all
      .slice(at, at + atOnce)
      .map((probe, index) => findingsOf(house, probe, at + index, config, signal));
    for (const findings of await Promise.all(found)) yield* findings;
  }
}

/** Far beyond what any probe needs, so that only the limit that is meant ends one. */
const probeSeconds = 20;

async function findingsOf(
  house: House,
  { command, limits, checks }: Probe,
  number: number,
  config: Config,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const request = {
    task_id: `probe-${number}`,
    tenant_id: "doctor",
    tool_name: "shell",
    payload: { command },
    limits: { timeout_seconds: Math.min(probeSeconds, config.limitRules.timeout_seconds.max), ...limits },
  };
  let result: Result;
  try {
    result = await submit(house.parts, house.parseTask(request), { watcher: () => undefined, stdin: null }, signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof ExecutorError)) throw error;
    return checks.map(({ name, tried, advice }) => ({ name, verdict: "fail", tried, seen: error.message, advice }));
  }
  signal.throwIfAborted();
  return checks.map(({ name, tried, advice, look }) => {
    const { holds, seen } = look(result);
    // A task that could not run says more by its message than by what it did not do.
    const why = result.sandbox === null && result.error !== null ? result.error.message : seen;
    return finding(name, tried, { holds, seen: why }, { verdict: "fail", advice });
  });
}

function* notProbed(config: Config, why: string): Generator<Finding> {
  for (const { checks } of probes(config.graceMs))
    for (const { name, tried } of checks) yield notTried(name, tried, why);
}
