import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { openCatalog } from "../app/custom-tools.ts";
import { concludeRefusal, exitCodeOf } from "../executor/conclude.ts";
import type { Parts } from "../executor/parts.ts";
import { inputFileKey } from "../executor/prepare.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import type { Task } from "../model/task.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { pullArtifacts } from "./artifacts.ts";
import type { CliContext } from "./context.ts";
import { fileSha256, localFiles } from "./input-files.ts";
import { say, written } from "./io.ts";
import { type RunOutput, runOutput, watcherOf } from "./run-output.ts";
import { type RunInput, runRemote } from "./run-remote.ts";
import { type RunFlags, runRequest } from "./run-request.ts";
import { openServer } from "./server.ts";
import { summaryLines } from "./summary.ts";

/**
 * `toolx run`: one task, here or on a server where there is one, and now. In text mode its output streams through; with `-o json` one envelope is printed, also for a request that
 * is refused. The exit code is the one of docs/failures.md.
 */
export async function runCommand(
  context: CliContext,
  tool: string,
  args: readonly string[],
  flags: RunFlags,
): Promise<void> {
  const { io } = context;
  const json = flags.output === "json";
  let request: Record<string, unknown> = {};
  try {
    request = await runRequest(tool, args, flags, io.cwd, () => openCatalog(context.config()));
    const result = await ran(context, request, flags, json);
    if (json) await written(io.stdout, Buffer.concat([encodeResult(result), Buffer.from("\n")]));
    else for (const line of summaryLines(result)) say(io, line);
    if (flags.out !== undefined) await pullAfterRun(context, result, flags.out);
    context.exitWith(exitCodeOf(result));
  } catch (error) {
    if (!json || !(error instanceof ExecutorError)) throw error;
    const refusal = concludeRefusal(request, error);
    await written(io.stdout, Buffer.concat([encodeResult(refusal), Buffer.from("\n")]));
    context.exitWith(exitCodeOf(refusal));
  }
}

async function ran(
  context: CliContext,
  request: Record<string, unknown>,
  flags: RunFlags,
  json: boolean,
): Promise<Result> {
  const { io } = context;
  const files = await localFiles(flags.file, io.cwd);
  const hashes = await Promise.all(files.map(({ source }) => fileSha256(source)));
  const named = files.map(({ path, executable }, index) => ({ path, executable, sha256: hashes[index] ?? "" }));
  const inputs = files.map(({ source }, index) => ({ source, sha256: hashes[index] ?? "" }));
  const body = files.length === 0 ? request : { ...request, files: named };
  const cancel = new AbortController();
  const onInterrupt = (): void => cancel.abort(io.interrupt.reason);
  io.interrupt.addEventListener("abort", onInterrupt, { once: true });
  if (io.interrupt.aborted) onInterrupt();
  // As a pipe would: a task whose reader has gone is ended.
  const onReaderGone = (): void => cancel.abort(new ExecutorError("cancelled", "the reader of its output went away"));
  await using output = runOutput(io, json, onReaderGone);
  const stdin = flags.stdin && !io.stdin.isTTY ? io.stdin : null;
  try {
    await using server = await openServer(context);
    return server === null
      ? await ranHere(context, body, inputs, output, stdin, cancel.signal)
      : await runRemote(server, body, inputs, output, stdin, cancel.signal);
  } finally {
    // Whoever writes there may go on for ever; the task is over, and so are we.
    stdin?.destroy();
  }
}

async function ranHere(
  context: CliContext,
  body: object,
  inputs: readonly RunInput[],
  output: RunOutput,
  stdin: Readable | null,
  cancel: AbortSignal,
): Promise<Result> {
  const { openHouse } = await import("../app/house.ts");
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

async function pullAfterRun(context: CliContext, result: Result, out: string): Promise<void> {
  if (result.output.artifacts.length === 0 || result.task_id === null) return;
  const folder = resolve(context.io.cwd, out);
  const pulled = await pullArtifacts(context, { tenantId: result.tenant_id, taskId: result.task_id }, folder, []);
  say(context.io, `  ${pulled} file${pulled === 1 ? "" : "s"} in ${folder}`);
}
