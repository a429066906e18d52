import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { openHouse } from "../app/house.ts";
import type { Parts } from "../executor/parts.ts";
import { inputFileKey } from "../executor/prepare.ts";
import { submit } from "../executor/submit.ts";
import type { Result } from "../model/result.ts";
import type { Task } from "../model/task.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { CliContext } from "./context.ts";
import { type RunOutput, watcherOf } from "./run-output.ts";
import type { RunInput } from "./run-remote.ts";

/** One task in this process, without a server. */
export async function ranHere(
  context: CliContext,
  body: object,
  inputs: readonly RunInput[],
  output: RunOutput,
  stdin: Readable | null,
  cancel: AbortSignal,
): Promise<Result> {
  await using house = await openHouse(context.config());
  void lookAhead(house.parts, body);
  const task = house.parseTask(body);
  for (const { source, sha256 } of inputs)
    await putOnce(house.parts.objects, inputFileKey(task.tenant_id, sha256), source, context.io.interrupt);
  return await submit(house.parts, task, { watcher: watcherOf(output), stdin }, cancel);
}

/** The engine looks for the image that the task most probably needs while the request is read; whoever needs it waits for that look. */
async function lookAhead({ catalog, images }: Parts, { tool_name: tool, image }: Partial<Task>): Promise<void> {
  try {
    const name = image ?? catalog.find(tool ?? "").images[0] ?? "";
    await images.resolve(name, new AbortController().signal);
  } catch {
    // Whatever is wrong, with the request or the engine, is told by what follows.
  }
}

async function putOnce(objects: ObjectStore, key: string, source: string, signal: AbortSignal): Promise<void> {
  const [there] = await objects.list(key, signal);
  if (there?.key !== key) await objects.put(key, createReadStream(source), signal);
}
