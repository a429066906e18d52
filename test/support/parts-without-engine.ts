import { memoryObjectStore } from "../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../src/adapters/memory/memory-task-store.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { fairSlots } from "../../src/executor/slots.ts";
import { defaultLimitRules } from "../../src/model/limits.ts";
import type { Task } from "../../src/model/task.ts";
import { openLog } from "../../src/observe/log.ts";
import { noTracing } from "../../src/observe/tracing.ts";
import { taskParser } from "../../src/schema/task-parser.ts";
import { builtInTools, toolCatalog } from "../../src/tools/catalog.ts";
import { anOwner, noEgress } from "./samples.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const maxBytes = 1024 * 1024;

/** What tasks are taken in with: store and objects in memory, and no sandbox to be had. */
export async function partsWithoutEngine(differences: Partial<Parts> = {}): Promise<{
  readonly parts: Parts;
  readonly parseTask: (body: unknown) => Task;
}> {
  const unused = (): never => {
    throw new Error("nothing runs in this test");
  };
  const parts: Parts = {
    store: memoryTaskStore(clock),
    objects: memoryObjectStore(),
    clock,
    catalog: toolCatalog(builtInTools()),
    logSink: { write: () => undefined, dropped: () => 0, [Symbol.asyncDispose]: async () => undefined },
    log: await openLog("silent"),
    tracing: noTracing,
    services: new Map(),
    slots: fairSlots(1),
    secrets: [],
    images: { names: () => ["shell", "python", "node"], resolve: async (name) => ({ name, id: name, env: {} }) },
    sandboxes: { create: unused, attach: unused, requireRuntime: async () => undefined, standby: unused },
    liveness: {
      self: anOwner(),
      stateOf: async () => "alive",
      poke: async () => undefined,
      sweep: async () => 0,
      standInFor: async () => ({ [Symbol.asyncDispose]: async () => undefined }),
      onPoke: () => () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    },
    openJournal: unused,
    reopenJournal: unused,
    egress: noEgress,
    policy: {
      runtimes: ["runc"],
      graceMs: 10,
      leaseMs: 10_000,
      maxArtifactEntries: 10,
      maxArtifactDepth: 4,
      secretsInArtifacts: "flag",
      inlineBytes: 1024,
      maxStrikes: 3,
    },
    ...differences,
  };
  const parseTask = taskParser({
    limitRules: defaultLimitRules,
    hostCpus: 4,
    maxBytes,
    toolLimits: parts.catalog.limitsOf,
    now: clock.now,
  });
  return { parts, parseTask };
}
