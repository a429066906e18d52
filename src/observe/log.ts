import type { Attempt } from "../model/attempt.ts";
import { ownerText } from "../model/owner.ts";
import type { Result } from "../model/result.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

/** Our own log: one canonical line an attempt. What tasks write is never in it. */
export interface Log {
  attemptFinished(attempt: Attempt, result: Result): void;
}

/** JSON lines to standard error from `level` on. The logger is loaded only where a level asks for what is logged. */
export async function openLog(level: LogLevel): Promise<Log> {
  if (level === "warn" || level === "error" || level === "silent") return { attemptFinished: () => undefined };
  const { destination, pino } = await import("pino");
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination(2));
  return { attemptFinished: (attempt, result) => log.info(canonical(attempt, result), "attempt.finished") };
}

/** Everything to find, count and time an attempt by. */
function canonical(
  attempt: Attempt,
  { tool_name, status, reason, exit_code, signal, metrics, output, sandbox }: Result,
) {
  return {
    tenant_id: attempt.key.tenantId,
    task_id: attempt.key.taskId,
    attempt: attempt.number,
    owner: ownerText(attempt.owner),
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
