import type { Attempt } from "../model/attempt.ts";
import type { Reason } from "../model/failure.ts";
import { ownerText } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import type { JsonObject, Task } from "../model/task.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

/** Our own log: one canonical line an attempt, and what happens to the executor itself. What tasks write is never in it. */
export interface Log {
  attemptFinished(attempt: Attempt, result: Result): void;
  /** Given back to the queue for another attempt, and why. */
  attemptReleased(attempt: Attempt, task: Task, reason: Reason): void;
  /** Something of the executor's own: `event` is a name, all that varies is in the fields. */
  note(level: "info" | "warn" | "error", event: string, fields: JsonObject): void;
}

const noLog: Log = { attemptFinished: () => undefined, attemptReleased: () => undefined, note: () => undefined };

/** JSON lines to standard error from `level` on. The logger is loaded only where a level asks for what is logged. */
export async function openLog(level: LogLevel, expectsNotes = false): Promise<Log> {
  const quiet = level === "warn" || level === "error";
  if (level === "silent" || (quiet && !expectsNotes)) return noLog;
  const { destination, pino } = await import("pino");
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination(2));
  return {
    attemptFinished: (attempt, result) => log.info(canonical(attempt, result), "attempt.finished"),
    attemptReleased: (attempt, { tool_name }, reason) =>
      log.info({ ...named(attempt), tool: tool_name, reason }, "attempt.released"),
    note: (noted, event, fields) => log[noted](fields, event),
  };
}

const named = ({ key, number, owner }: Attempt) => ({
  tenant_id: key.tenantId,
  task_id: key.taskId,
  attempt: number,
  owner: ownerText(owner),
});

/** Everything to find, count and time an attempt by. */
function canonical(
  attempt: Attempt,
  { tool_name, status, reason, exit_code, signal, metrics, output, sandbox }: Result,
) {
  return {
    ...named(attempt),
    tool: tool_name,
    status,
    reason,
    exit_code,
    signal,
    ...metrics,
    stdout_bytes: output.stdout_bytes,
    stderr_bytes: output.stderr_bytes,
    artifacts: output.artifacts.length,
    image: sandbox?.image ?? null,
    runtime: sandbox?.runtime ?? null,
  };
}
