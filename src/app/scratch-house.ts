import { join } from "node:path";
import { processOwner } from "../adapters/disk/process-owner.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import type { Config } from "./config.ts";
import { type House, openHouse } from "./house.ts";

/** A house whose data folder nobody keeps, with the configuration it was opened with. */
export interface ScratchHouse extends House {
  readonly config: Config;
}

/**
 * A house for trials: everything as configured, but its data folder is a scratch folder of this process alone, gone after dispose.
 * Should the process be killed, `toolx gc` takes it away.
 * @param purpose tenant and task id of what is tried; stands in the scratch folder.
 * @throws ExecutorError validation | internal, with nothing left behind.
 */
export async function scratchHouse(config: Config, purpose: string): Promise<ScratchHouse> {
  await using stack = new AsyncDisposableStack();
  const scratch = await diskScratch(config.sandboxRoot);
  const key = { tenantId: purpose, taskId: purpose };
  const folder = await scratch.make({ key, number: 1, owner: await processOwner() });
  stack.defer(() => scratch.remove(folder, new AbortController().signal));
  // Nor is a trial a task of the database's, and what it keeps is kept here.
  const own = { ...config, dataDir: join(folder, "data"), database: null, s3: null, loki: null };
  const house = stack.use(await openHouse(own));
  const held = stack.move();
  return { ...house, config: own, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
