import { ExecutorError } from "../model/failure.ts";

/**
 * Seconds in `30s`, `2m`, `1h`, `1m30s` or a plain number of seconds; a fraction is rounded up to a whole second, as limits count.
 * @throws ExecutorError validation, naming the flag, the value and what was allowed.
 */
export function parseSeconds(flag: string, text: string): number {
  const match = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?$/.exec(text.trim());
  if (!match || text.trim() === "") throw badFlag(flag, text, "a time such as 30s, 2m, 1h or 1m30s");
  const [, hours = "0", minutes = "0", seconds = "0"] = match;
  return Math.ceil(Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
}

/** Whole MiB in `256m`, `1g`, `512MiB` or a plain number of MiB. @throws ExecutorError validation */
export function parseMegabytes(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(k|m|g|t)?(?:i?b)?$/i.exec(text.trim());
  if (!match) throw badFlag(flag, text, "a size such as 64m, 256m or 2g");
  const factor = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 }[(match[2] ?? "m").toLowerCase()] ?? 1;
  return Math.ceil(Number(match[1]) * factor);
}

/** A number as JSON has it, whole or not. @throws ExecutorError validation */
export function parseNumber(flag: string, text: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text.trim())) throw badFlag(flag, text, "a number");
  return Number(text);
}

/** One clear message for a flag: its name, the value, what was allowed. */
export function badFlag(flag: string, value: string, allowed: string): ExecutorError {
  const message = `${flag} is ${JSON.stringify(value.slice(0, 100))}; allowed: ${allowed}`;
  return new ExecutorError("validation", message, { details: [{ path: flag, message }] });
}
