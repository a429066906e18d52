/** How one thing stands. `warn`: the walls and limits hold without it, but it is worth knowing. */
export type Verdict = "ok" | "warn" | "fail" | "not_tried";

/** One line of `toolx doctor`. */
export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was looked at or done. */
  readonly tried: string;
  readonly seen: string;
  /** What to do; null where nothing is to be done. */
  readonly advice: string | null;
}

/** A finding that is right or wrong; the advice stands only where it is wrong. */
export function finding(
  name: string,
  tried: string,
  { holds, seen }: { readonly holds: boolean; readonly seen: string },
  otherwise: { readonly verdict: "warn" | "fail"; readonly advice: string },
): Finding {
  return holds
    ? { name, verdict: "ok", tried, seen, advice: null }
    : { name, verdict: otherwise.verdict, tried, seen, advice: otherwise.advice };
}

/** A finding that waits for another one to be put right. */
export const notTried = (name: string, tried: string, why: string): Finding => ({
  name,
  verdict: "not_tried",
  tried,
  seen: why,
  advice: null,
});
