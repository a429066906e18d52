import { parseArgs } from "node:util";
import { memorySandboxes } from "../../../src/adapters/memory/memory-sandboxes.ts";
import { openBuffer } from "../../../src/app/buffer.ts";
import { loadConfig } from "../../../src/app/config.ts";
import { openHouse } from "../../../src/app/house.ts";
import { transportService } from "../../../src/app/transport-service.ts";
import type { Parts } from "../../../src/executor/parts.ts";
import { bell } from "../../../src/loops/bell.ts";
import { schedule } from "../../../src/loops/schedule.ts";
import { openLog } from "../../../src/observe/log.ts";
import { metrics } from "../../../src/observe/metrics.ts";
import { loadTransport } from "./load-transport.ts";

/**
 * The process whose rate is measured: everything of `toolx serve` that a task over Kafka passes through, on the sandboxes of
 * `src/adapters/memory` and a transport in this process. Prints one {@link RoundOfLoad} a line.
 */
const { values: flags } = parseArgs({
  options: {
    tasks: { type: "string", default: "1000" },
    rounds: { type: "string", default: "5" },
    checkout: { type: "string", default: process.cwd() },
  },
});
const tasks = Number(flags.tasks);

/** What one round of the load took. */
export interface RoundOfLoad {
  readonly tasks: number;
  readonly seconds: number;
  /** Of this process, all its threads. */
  readonly cpuSeconds: number;
}

const config = loadConfig(flags.checkout, process.env);
await using house = await openHouse(config, undefined, await openLog(config.logLevel, true));
const [counted, work] = [metrics(), bell()];
const { log } = house.parts;
const countedLog: typeof log = {
  ...log,
  attemptFinished(attempt, result) {
    counted.taskFinished(result);
    log.attemptFinished(attempt, result);
  },
};
await using buffer = await openBuffer(config, house.parts, { log, counted, onTakenIn: work.ring });
const parts: Parts = {
  ...house.parts,
  store: buffer?.store ?? house.parts.store,
  log: countedLog,
  sandboxes: memorySandboxes(),
  images: { names: () => ["shell"], resolve: async (name) => ({ name, id: `sha256:${name}`, env: {} }) },
};
await using transport = loadTransport((n) =>
  Buffer.from(
    JSON.stringify({
      task_id: `rate-${process.pid}-${n}`,
      tenant_id: `tenant-${n % 4}`,
      tool_name: "shell",
      payload: { argv: ["true"] },
      metadata: { correlation_id: `c-${n}` },
    }),
  ),
);
const service = transportService(parts, house.parseTask, transport, {
  onWaiting: work.ring,
  onTaken: counted.delivered,
  onPublished: (rows) => {
    for (const { kind } of rows) counted.published(kind, 1);
  },
  onTrouble: (what, error) => process.stderr.write(`${what}: ${error}\n`),
});
const scheduled = schedule(parts, { slots: config.maxWorkers, pollMs: 500, bell: work, watch: service.watch });
const [stop, stopRelay] = [new AbortController(), new AbortController()];
const running = Promise.all([
  service.run(stop.signal, stopRelay.signal),
  scheduled.run(stop.signal, new AbortController().signal),
]);
// The first round is to warm up.
for (let round = -1; round < Number(flags.rounds); round += 1) {
  const [cpu, startedAt] = [process.cpuUsage(), performance.now()];
  await transport.load(tasks);
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const of: RoundOfLoad = { tasks, seconds, cpuSeconds: (user + system) / 1e6 };
  if (round >= 0) process.stdout.write(`${JSON.stringify(of)}\n`);
}
stop.abort();
stopRelay.abort();
await running;
