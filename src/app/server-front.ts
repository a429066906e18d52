import { createHash } from "node:crypto";
import { inputFileKey } from "../executor/prepare.ts";
import { isCallbackLetter, replayOfLetter, replayOfTask } from "../executor/replay.ts";
import { type AtOnce, hasBegun, takeIn } from "../executor/take-in.ts";
import { receivedSummary } from "../executor/task-summary.ts";
import { ExecutorError, reasonOf } from "../model/failure.ts";
import { type Task, taskKey } from "../model/task.ts";
import { traceOf, withTrace } from "../model/trace-context.ts";
import type { ServerFront, Submitted } from "../ports/front.ts";
import { type FrontSources, frontOf } from "./front.ts";
import type { House } from "./house.ts";
import type { Pulse } from "./pulse.ts";

export interface ServerFrontSources {
  readonly house: House;
  readonly sandboxRoot: string;
  readonly pulse: Pulse;
  readonly atOnce: AtOnce | null;
  readonly isKept: FrontSources["isKept"];
  /** Called when a task was taken in that waits for its turn. */
  readonly wake: () => void;
  /** Of one file. */
  readonly maxFileBytes: number;
  readonly waiting: FrontSources["waiting"];
}

/** What can be asked of this process while it serves. */
export function serverFront({
  house,
  sandboxRoot,
  pulse,
  wake,
  maxFileBytes,
  waiting,
  atOnce,
  isKept,
}: ServerFrontSources): ServerFront {
  const { parts, parseTask } = house;
  const { objects, liveness, store } = parts;
  const front = frontOf({
    archive: parts,
    catalog: async () => parts.catalog,
    // Ours stays open.
    liveness: async () => ({ ...liveness, [Symbol.asyncDispose]: async () => undefined }),
    sandboxRoot,
    pulse,
    waiting,
    isKept,
  });
  const taken = async (task: Task, signal: AbortSignal): Promise<Submitted> => {
    const intake = await takeIn(parts, task, signal, atOnce);
    if (!hasBegun(intake)) wake();
    return {
      key: taskKey(task),
      isNew: intake.kind === "accepted",
      received: receivedSummary(task, parts.clock.now()),
    };
  };
  return {
    ...front,
    async submit(request, asked, traceparent, signal) {
      const startedAt = parts.clock.now();
      const parsed = withTrace(parseTask(request, asked), traceparent);
      using span = parts.tracing.begin("intake", {
        ...{ kind: "server", parent: traceOf(parsed.metadata)?.traceparent ?? null, startedAt },
        attributes: { "tool_executor.tenant_id": parsed.tenant_id, "tool_executor.task_id": parsed.task_id },
      });
      // Of a call that came without a trace this is where one begins.
      const task = withTrace(parsed, span.traceparent);
      const { tenant_id: tenantId, task_id: taskId } = asked;
      if (tenantId !== undefined && task.tenant_id !== tenantId) throw notTheirs("tenant_id", task.tenant_id, tenantId);
      if (taskId !== undefined && task.task_id !== taskId) throw notTheirs("task_id", task.task_id, taskId);
      return await taken(task, signal).catch((error: unknown) => {
        span.failed(reasonOf(error));
        throw error;
      });
    },
    replay: async (key, taskId, signal) =>
      await taken(await replayOfTask(store, parseTask, key, taskId, signal), signal),
    async replayLetter(id, tenantId, signal) {
      const letter = await store.getLetter(id, signal);
      if (letter === null || (tenantId !== null && letter.key?.tenantId !== tenantId)) return null;
      if (letter.key !== null && isCallbackLetter(letter))
        return (await store.callbackAgain(id, signal)) ? { kind: "callback", key: letter.key } : null;
      const task = await replayOfLetter(store, parseTask, letter, signal);
      // SAFETY: whose letter it is was said by the store, whose task it would be by its bytes.
      if (tenantId !== null && task.tenant_id !== tenantId) throw notTheirs("tenant_id", task.tenant_id, tenantId);
      return { kind: "task", ...(await taken(task, signal)) };
    },
    async hasFile(tenantId, sha256, signal) {
      const key = inputFileKey(tenantId, sha256);
      return (await objects.list(key, signal)).some((object) => object.key === key);
    },
    async putFile(tenantId, sha256, body, signal) {
      await objects.put(inputFileKey(tenantId, sha256), checkedBody(body, sha256, maxFileBytes), signal);
    },
  };
}

function notTheirs(field: "tenant_id" | "task_id", given: string, allowed: string): ExecutorError {
  const message = `${field} is ${given}, must be ${allowed}`;
  return field === "tenant_id"
    ? new ExecutorError("policy_denied", message, {
        details: [{ path: "/tenant_id", message }],
        hint: "the tenant is that of the API key: leave tenant_id out",
      })
    : new ExecutorError("validation", message, {
        details: [{ path: "/task_id", message }],
        hint: "Idempotency-Key is the task's id: give one of the two, or the same in both",
      });
}

/** The same bytes; fails at their end, before they are kept, when they are not what their name says. */
async function* checkedBody(
  body: AsyncIterable<Uint8Array>,
  sha256: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes)
      throw new ExecutorError("validation", `the file is longer than ${maxBytes} bytes, the most that is taken`);
    hash.update(chunk);
    yield chunk;
  }
  const seen = hash.digest("hex");
  if (seen !== sha256)
    throw new ExecutorError("validation", `the ${sizeBytes} bytes that came have sha256 ${seen}, not ${sha256}`);
}
