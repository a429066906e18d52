import { setTimeout as sleep } from "node:timers/promises";
import { engineFacts } from "../adapters/docker/engine-facts.ts";
import { runtimeTraits } from "../adapters/docker/runtimes.ts";
import { memoryObjectStore } from "../adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../adapters/memory/memory-task-store.ts";
import type { Parts } from "../executor/parts.ts";
import { fairSlots } from "../executor/slots.ts";
import type { Readiness } from "../observe/health.ts";
import { type Log, openLog } from "../observe/log.ts";
import { noTracing } from "../observe/tracing.ts";
import { builtInTools, toolCatalog } from "../tools/catalog.ts";
import type { Config } from "./config.ts";
import { type House, systemClock } from "./house.ts";
import { probeResult, under } from "./probe-findings.ts";
import { wallProbes } from "./probes.ts";

/** Tries the walls while a server runs. */
export interface WallWatch {
  /** Those that did not hold when they were last tried, by doctor's names for them. Empty as long as none was tried. */
  fallen(): Readiness["missing"];
  /** Tries until `stop` aborts, at once and then as often as the configuration says; never rejects. */
  run(stop: AbortSignal): Promise<void>;
}

/** While a wall is down, or could not be tried. */
const soonMs = 60_000;

/**
 * One sandbox at a time, beside those of the tasks and made as theirs are, goes against doctor's walls under each runtime. What it
 * does is kept nowhere.
 */
export function wallWatch(config: Config, house: House, log: Log): WallWatch {
  const { probeEveryMs } = config;
  let fallen: Readiness["missing"] = [];
  return {
    fallen: () => fallen,
    async run(stop) {
      while (!stop.aborted && probeEveryMs !== null) {
        let waitMs = probeEveryMs;
        try {
          const found = await triedOnce(config, house, stop);
          if (stop.aborted) return;
          fallen = found.fallen;
          for (const { name, why } of fallen) log.note("error", "wall.fallen", { name, why });
          if (fallen.length > 0 || found.untried > 0) waitMs = soonMs;
          else log.note("info", "walls.held", { probes: found.tried });
        } catch (error) {
          if (stop.aborted) return;
          log.note("warn", "walls.untried", { message: error instanceof Error ? error.message : String(error) });
          waitMs = soonMs;
        }
        await sleep(waitMs, undefined, { signal: stop }).catch(() => undefined);
      }
    },
  };
}

async function triedOnce(config: Config, house: House, signal: AbortSignal) {
  const there = (await engineFacts(house.docker, signal)).runtimes;
  const fallen: { name: string; why: string }[] = [];
  let untried = 0;
  let number = 0;
  for (const runtime of config.runtimes.filter((name) => there.includes(name))) {
    const trial = { ...house, parts: await partsOfATrial(house.parts) };
    for (const probe of wallProbes(runtimeTraits(runtime))) {
      number += 1;
      const result = await probeResult(trial, probe, { runtime, number }, config, signal);
      if (result === null) untried += 1;
      else
        for (const { name, otherwise, look } of probe.checks) {
          const { holds, seen } = look(result);
          if (!holds && otherwise === "fail") fallen.push({ name: `wall ${under(runtime, name)}`, why: seen });
        }
    }
  }
  return { fallen, untried, tried: number - untried };
}

/** Tasks of our own are nobody's answer: not stored, not sent, not counted among the attempts. */
async function partsOfATrial(parts: Parts): Promise<Parts> {
  return {
    ...parts,
    catalog: toolCatalog(builtInTools()),
    store: memoryTaskStore(systemClock),
    objects: memoryObjectStore(),
    logSink: { write: () => undefined, dropped: () => 0, [Symbol.asyncDispose]: async () => undefined },
    slots: fairSlots(1),
    log: await openLog("silent"),
    tracing: noTracing,
  };
}
