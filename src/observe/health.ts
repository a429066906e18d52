import { deadline } from "../model/deadline.ts";

/** One thing that work depends on. @throws when it cannot be used now, with a message for an operator. */
export type Check = (signal: AbortSignal) => Promise<void>;

/** What stands in the way of work; empty: nothing. Names are ours, messages hold no task's content. */
export interface Readiness {
  readonly missing: readonly { readonly name: string; readonly why: string }[];
}

const answerMs = 3000;
/** Anybody may ask, as often as they like; the neighbours are asked this often at most. */
const rememberMs = 1000;

/**
 * Asks all of them at once; an answer is good for a second.
 * @param known what is in the way without anybody being asked.
 */
export function readiness(
  checks: Readonly<Record<string, Check>>,
  known: () => Readiness["missing"],
  now: () => number,
): () => Promise<Readiness> {
  let asked: { readonly at: number; readonly answer: Promise<Readiness> } | null = null;
  return async () => {
    if (asked === null || now() - asked.at > rememberMs) asked = { at: now(), answer: answered(checks) };
    return { missing: [...(await asked.answer).missing, ...known()] };
  };
}

async function answered(checks: Readonly<Record<string, Check>>): Promise<Readiness> {
  const missing = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      using limit = deadline(new AbortController().signal, answerMs, new Error(`no answer within ${answerMs} ms`));
      const late = new Promise<never>((_, reject) => {
        limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
      });
      try {
        await Promise.race([check(limit.signal), late]);
        return null;
      } catch (error) {
        return { name, why: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  return { missing: missing.filter((each) => each !== null) };
}
