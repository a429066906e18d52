import { engineFacts } from "../adapters/docker/engine-facts.ts";
import { listImages } from "../adapters/docker/images.ts";
import { runtimeTraits } from "../adapters/docker/runtimes.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Config } from "./config.ts";
import { engineFindings, imageFindings } from "./engine-findings.ts";
import { type Finding, notTried } from "./finding.ts";
import { hostFindings } from "./host-findings.ts";
import { dockerAt } from "./house.ts";
import { probeFindings, under } from "./probe-findings.ts";
import { probes } from "./probes.ts";
import { scratchHouse } from "./scratch-house.ts";

/**
 * Looks at the host and the engine, then runs one task against each limit and wall under each allowed runtime, as any other
 * task runs. Findings come in order, as they are known. What the tasks leave is in a scratch folder of this process alone, gone when the last finding is out.
 * @param imagesDir where the images' recipes are.
 */
export async function* examine(config: Config, imagesDir: string, signal: AbortSignal): AsyncGenerator<Finding> {
  const host = await hostFindings(config);
  yield* host;
  const engine = await engineRoom(config, imagesDir, signal);
  yield* engine.findings;
  const needed = new Set([...neededByProbes, `runtime ${config.runtimes[0]}`]);
  const broken = [...host, ...engine.findings].find(({ verdict, name }) => verdict === "fail" && needed.has(name));
  for (const runtime of config.runtimes) {
    if (broken !== undefined) yield* notProbed(runtime, config, `first mend: ${broken.name}`);
    else if (!engine.runtimes.includes(runtime)) yield* notProbed(runtime, config, "the engine does not have it");
    else yield* probed(runtime, config, signal);
  }
}

/** Without these no task can run, and every probe would only say the same. */
const neededByProbes: ReadonlySet<string> = new Set([
  "scratch folder",
  "runtime folder",
  "engine",
  "architecture",
  "image shell",
]);

interface EngineRoom {
  readonly findings: readonly Finding[];
  /** Of the engine, by name. */
  readonly runtimes: readonly string[];
}

async function engineRoom(config: Config, imagesDir: string, signal: AbortSignal): Promise<EngineRoom> {
  const docker = dockerAt(config.dockerHost);
  try {
    const facts = await engineFacts(docker, signal);
    const images = await listImages(docker, imagesDir, config.baseImage, signal);
    const findings = [...engineFindings(facts, config.runtimes), ...imageFindings(images)];
    return { findings, runtimes: facts.runtimes };
  } catch (error) {
    if (signal.aborted || !(error instanceof ExecutorError)) throw error;
    const advice = `start it (systemctl start docker, or npm start in the checkout), or set DOCKER_HOST to where it listens; this user must be allowed to use it (group docker)`;
    const tried = `reach it at ${config.dockerHost}`;
    return { findings: [{ name: "engine", verdict: "fail", tried, seen: error.message, advice }], runtimes: [] };
  }
}

/** Two at a time: the third would only make the host's own load part of what is measured. */
const atOnce = 2;

async function* probed(runtime: string, config: Config, signal: AbortSignal): AsyncGenerator<Finding> {
  await using house = await scratchHouse(config, "doctor");
  const all = probes(config.graceMs, runtimeTraits(runtime));
  for (let at = 0; at < all.length; at += atOnce) {
    const found = all
      .slice(at, at + atOnce)
      .map((probe, index) => probeFindings(house, probe, { runtime, number: at + index }, config, signal));
    for (const findings of await Promise.all(found)) yield* findings;
  }
}

function* notProbed(runtime: string, config: Config, why: string): Generator<Finding> {
  for (const { checks } of probes(config.graceMs, runtimeTraits(runtime)))
    for (const { name, tried } of checks) yield notTried(under(runtime, name), tried, why);
}
