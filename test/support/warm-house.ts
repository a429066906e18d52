import type { WarmPool } from "../../src/adapters/wrap/warm-pool.ts";
import { serverPool } from "../../src/app/warm.ts";
import type { Parts } from "../../src/executor/parts.ts";
import { submit } from "../../src/executor/submit.ts";
import type { Result } from "../../src/model/result.ts";
import { openLog } from "../../src/observe/log.ts";
import { metrics } from "../../src/observe/metrics.ts";
import { testHouse } from "./house.ts";
import { never } from "./samples.ts";
import { until } from "./until.ts";

/** A house in which sandboxes stand ready, as in a server. */
export interface WarmHouse extends AsyncDisposable {
  readonly parts: Parts;
  readonly pool: WarmPool;
  /** A shell command as a task; `rest` beside it in the request. */
  run(command: string, rest?: object): Promise<Result>;
  /** The same on a sandbox of its own. */
  runCold(command: string, rest?: object): Promise<Result>;
  /** Waits until so many stand ready. */
  ready(count: number, boundMs?: number): Promise<void>;
}

/** `count` of the shell image stand ready in any case, under the first runtime of the settings. */
export async function warmHouse(count: number, settings: Readonly<Record<string, string>> = {}): Promise<WarmHouse> {
  await using stack = new AsyncDisposableStack();
  const house = stack.use(
    await testHouse({
      TOOL_EXECUTOR_WARM_POOL_MAX: String(count),
      TOOL_EXECUTOR_WARM_POOL_MIN: String(count),
      TOOL_EXECUTOR_WARM_POOL_IMAGES: "shell",
      ...settings,
    }),
  );
  const pool = serverPool(house.config, house, metrics(), await openLog("silent"));
  if (pool === null) throw new Error("the settings of this test ask for no pool");
  stack.use(pool);
  const parts = { ...house.parts, sandboxes: pool };
  let number = 0;
  const run = async (on: Parts, command: string, rest: object): Promise<Result> => {
    number += 1;
    const task = house.parseTask({ task_id: `t-${number}`, tool_name: "shell", payload: { command }, ...rest });
    return await submit(on, task, { watcher: () => undefined, stdin: null }, never());
  };
  pool.begin();
  const held = stack.move();
  return {
    parts,
    pool,
    run: (command, rest = {}) => run(parts, command, rest),
    runCold: (command, rest = {}) => run(house.parts, command, rest),
    async ready(wanted, boundMs = 60_000) {
      await until(`${wanted} stand ready`, () => pool.counts().ready >= wanted, boundMs);
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
