import { ExecutorError, reasonTable } from "../model/failure.ts";
import type { LetterSummary } from "../model/letter-summary.ts";
import type { LettersFront } from "../ports/front.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { badFlag } from "./quantities.ts";
import { openFrontOf } from "./server.ts";
import { duration } from "./summary.ts";
import { terminalName, terminalText } from "./terminal-text.ts";

/** What narrows the letters down. */
export interface LetterFlags {
  readonly tenant?: string;
  readonly reason?: string;
}

/** `toolx dlq ls`: the dead letters, newest first. */
export async function dlqLs(
  context: CliContext,
  flags: LetterFlags & { readonly limit: string; readonly output: string },
): Promise<void> {
  const { io } = context;
  const limit = wholeNumber("--limit", flags.limit, 1000);
  await using front = await openFrontOf(context);
  const query = { ...letterScope(flags), olderThan: null, limit };
  const { letters, next } = await front.letters(query, io.interrupt);
  if (flags.output === "json")
    return await written(io.stdout, letters.map((letter) => `${JSON.stringify(letter)}\n`).join(""));
  const now = Date.now();
  const rows = letters.map((letter) => [
    String(letter.id),
    letterName(letter),
    letter.reason,
    letter.stage,
    String(letter.attempts),
    `${duration(now - Date.parse(letter.created_at))} ago`,
  ]);
  await written(io.stdout, table([["LETTER", "TASK", "REASON", "STAGE", "TRIES", "CAME"], ...rows]));
  if (next !== null) say(io, `there are more: --limit ${Math.min(limit * 10, 1000)}`);
}

/** `toolx dlq show`: what is known of one letter, and its bytes. */
export async function dlqShow(
  context: CliContext,
  id: string,
  flags: LetterFlags & { readonly output: string },
): Promise<void> {
  const { io } = context;
  await using front = await openFrontOf(context);
  const letter = await knownLetter(front, letterId(id), letterScope(flags).tenantId, io.interrupt);
  if (flags.output === "json") return await written(io.stdout, `${JSON.stringify(letter)}\n`);
  const { value, value_encoding, ...head } = letter;
  for (const [name, said] of Object.entries(head))
    if (said !== null) await written(io.stdout, `${name.padEnd(10)}  ${terminalName(String(said))}\n`);
  const filter = terminalText();
  const text = filter.write(Buffer.from(value)) + filter.end();
  await written(io.stdout, `--- ${value_encoding === "base64" ? "value, base64" : "value"}\n${text}\n`);
}

/** @throws ExecutorError validation, when there is none. */
export async function knownLetter(front: LettersFront, id: number, tenantId: string | null, signal: AbortSignal) {
  const letter = await front.letter(id, tenantId, signal);
  if (letter !== null) return letter;
  throw new ExecutorError("validation", `no dead letter ${id} in this store or on this server`, {
    hint: "toolx dlq ls lists them",
  });
}

/** As one is called among people. */
export const letterName = ({ tenant_id, task_id, source }: LetterSummary): string =>
  terminalName(task_id === null ? (source ?? "-") : `${tenant_id}/${task_id}`);

/** @throws ExecutorError validation, naming the flag. */
export function letterScope({ tenant, reason }: LetterFlags): {
  readonly tenantId: string | null;
  readonly reason: string | null;
} {
  if (tenant !== undefined && !/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(tenant))
    throw badFlag("--tenant", tenant, "1 to 63 letters, digits, _ and -");
  const reasons = Object.keys(reasonTable);
  if (reason !== undefined && !reasons.includes(reason)) throw badFlag("--reason", reason, reasons.join(", "));
  return { tenantId: tenant ?? null, reason: reason ?? null };
}

export function letterId(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw badFlag("dead letter", text, "a number of toolx dlq ls");
}

export function wholeNumber(flag: string, text: string, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= max) return value;
  throw badFlag(flag, text, `a whole number, 1 to ${max}`);
}
