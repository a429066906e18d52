import { resolve } from "node:path";
import { concludeRefusal, exitCodeOf } from "../executor/conclude.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { encodeResult } from "../schema/encode-result.ts";
import type { CliContext } from "./context.ts";
import { fileSha256, localFiles } from "./input-files.ts";
import { say, written } from "./io.ts";
import { runOutput } from "./run-output.ts";
import { runRemote } from "./run-remote.ts";
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
    request = await runRequest(tool, args, flags, io.cwd, async () => {
      const { openCatalog } = await import("../app/custom-tools.ts");
      return await openCatalog(context.config());
    });
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
    if (server !== null) return await runRemote(server, body, inputs, output, stdin, cancel.signal);
    // With a server none of it is needed, and to load it takes a quarter of the time.
    const { ranHere } = await import("./run-here.ts");
    return await ranHere(context, body, inputs, output, stdin, cancel.signal);
  } finally {
    // Whoever writes there may go on for ever; the task is over, and so are we.
    stdin?.destroy();
  }
}

async function pullAfterRun(context: CliContext, result: Result, out: string): Promise<void> {
  if (result.output.artifacts.length === 0 || result.task_id === null) return;
  const { pullArtifacts } = await import("./artifacts.ts");
  const folder = resolve(context.io.cwd, out);
  const pulled = await pullArtifacts(context, { tenantId: result.tenant_id, taskId: result.task_id }, folder, []);
  say(context.io, `  ${pulled} file${pulled === 1 ? "" : "s"} in ${folder}`);
}
