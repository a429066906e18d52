import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { ExecutorError } from "../model/failure.ts";
import { logStart } from "../model/log-position.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { ServerFront, Submitted } from "../ports/front.ts";
import type { RunOutput } from "./run-output.ts";

/** A local file of the request, by the name it gets in the object store. */
export interface RunInput {
  readonly source: string;
  readonly sha256: string;
}

/**
 * One task on a server: its files are put there, what it writes is shown while it runs, and the answer is the stored result. When
 * `cancel` aborts the task is cancelled, and its result waited for.
 * @throws ExecutorError as the server says; internal, when it goes away. The task goes on then.
 */
export async function runRemote(
  server: ServerFront,
  body: object,
  inputs: readonly RunInput[],
  output: RunOutput,
  stdin: Readable | null,
  cancel: AbortSignal,
): Promise<Result> {
  const tenantId = "tenant_id" in body ? String(body.tenant_id) : "default";
  for (const { source, sha256 } of inputs)
    if (!(await server.hasFile(tenantId, sha256, cancel)))
      await server.putFile(tenantId, sha256, createReadStream(source), cancel);
  const request = stdin === null ? body : { ...body, stdin: await stdinText(stdin, cancel) };
  return await follow(server, await server.submit(request, {}, null, cancel), output, cancel);
}

/** Shows a task that a server has taken in, to its end; one that was known before is only answered. */
export async function follow(
  server: ServerFront,
  { key, isNew }: Submitted,
  output: RunOutput,
  cancel: AbortSignal,
): Promise<Result> {
  const onCancel = (): void => {
    // Should it not get there, the task has its end by its deadline.
    server.cancel(key, uninterrupted).catch(() => undefined);
  };
  if (cancel.aborted) onCancel();
  else cancel.addEventListener("abort", onCancel, { once: true });
  try {
    if (isNew) await shown(server, key, output);
    return await answered(server, key);
  } finally {
    cancel.removeEventListener("abort", onCancel);
  }
}

const uninterrupted: AbortSignal = new AbortController().signal;

/** Until the task has ended. */
async function shown(server: ServerFront, key: TaskKey, output: RunOutput): Promise<void> {
  for await (const event of server.events(key, logStart, true, uninterrupted)) {
    if (event.kind === "line") await output.line(event.line);
    else if (event.kind === "progress") output.progress(event);
  }
}

async function answered(server: ServerFront, key: TaskKey): Promise<Result> {
  for (;;) {
    const found = await server.get(key, 60_000, uninterrupted);
    if (found === null) throw new ExecutorError("internal", `task ${keyText(key)} is gone from the server`);
    if (found.resultBytes !== null) return JSON.parse(found.resultBytes.toString("utf8")) as Result;
  }
}

/** A request carries standard input as text, and is bounded as a whole. */
const maxStdinBytes = 4 * 1024 * 1024;

async function stdinText(stdin: Readable, signal: AbortSignal): Promise<string> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of stdin) {
    signal.throwIfAborted();
    parts.push(Buffer.from(part));
    sizeBytes += part.length;
    if (sizeBytes > maxStdinBytes) throw unsendable(`it is longer than ${maxStdinBytes} bytes`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw unsendable("it is no UTF-8 text");
  }
}

const unsendable = (why: string): ExecutorError =>
  new ExecutorError("validation", `--stdin: a server takes standard input as text of the request, and ${why}`, {
    hint: "give it as a file (--file NAME), or run the task without a server",
  });
