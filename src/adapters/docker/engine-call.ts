import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";

/**
 * One call to the engine with a deadline. The client drops the request when the signal aborts; what it still
 * answers after that is left behind, not waited for.
 *
 * @throws ExecutorError `code` (sandbox, where no engine answers at all), with the engine's own words; the parent's reason when `signal` aborts.
 */
export async function engineCall<T>(
  what: string,
  ms: number,
  call: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
  code: "sandbox" | "image" = "sandbox",
): Promise<T> {
  using limit = deadline(signal, ms, unanswered(what, ms, code));
  const ended = Promise.withResolvers<never>();
  const onAbort = (): void => ended.reject(limit.signal.reason);
  limit.signal.addEventListener("abort", onAbort, { once: true });
  if (limit.signal.aborted) onAbort();
  try {
    return await Promise.race([call(limit.signal), ended.promise]);
  } catch (cause) {
    limit.signal.throwIfAborted();
    if (cause instanceof ExecutorError) throw cause;
    const words = `${what}: ${engineWords(cause)}`;
    // No engine at all is no fault of the image's.
    if (isUnreachable(cause)) throw new ExecutorError("sandbox", words, { cause, hint: engineHint });
    throw new ExecutorError(code, words, { cause });
  } finally {
    limit.signal.removeEventListener("abort", onAbort);
  }
}

/** What a call ends with that the engine left without an answer. */
export function unanswered(what: string, ms: number, code: "sandbox" | "image" = "sandbox"): ExecutorError {
  return new ExecutorError(code, `${what}: the engine did not answer within ${ms} ms`, { hint: engineHint });
}

/** The same call where the engine's `status` means that there is nothing (left) to do. */
export async function unlessStatus<T>(statuses: readonly number[], call: () => Promise<T>): Promise<T | null> {
  try {
    return await call();
  } catch (error) {
    if (statuses.includes(statusOf(error) ?? 0)) return null;
    throw error;
  }
}

/** The engine's HTTP status, or null when it gave none (no engine, no answer). */
export function statusOf(error: unknown): number | null {
  const cause = error instanceof ExecutorError ? error.cause : error;
  return typeof cause === "object" && cause !== null && "statusCode" in cause ? Number(cause.statusCode) : null;
}

const engineHint =
  "is the engine running? `npm start` starts it, `toolx doctor` looks closer; DOCKER_HOST names another";

function isUnreachable(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return ["ENOENT", "ECONNREFUSED", "EACCES", "ENOTFOUND", "ECONNRESET", "EHOSTUNREACH"].includes(code);
}

function engineWords(error: unknown): string {
  const json = typeof error === "object" && error !== null && "json" in error ? error.json : null;
  if (typeof json === "object" && json !== null && "message" in json) return String(json.message);
  return error instanceof Error ? error.message.trim() : String(error);
}
