import { setTimeout as sleep } from "node:timers/promises";

const lookEveryMs = 20;

/**
 * Resolves with the first answer that is neither false, null nor undefined, asking every `everyMs`.
 * @throws when there is none within `boundMs`, naming `what` was waited for.
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  boundMs: number,
  everyMs = lookEveryMs,
): Promise<Exclude<T, false | null | undefined>> {
  const endsAt = performance.now() + boundMs;
  for (;;) {
    const answer = await condition();
    if (answer !== false && answer !== null && answer !== undefined)
      return answer as Exclude<T, false | null | undefined>;
    if (performance.now() > endsAt) throw new Error(`not within ${boundMs} ms: ${what}`);
    await sleep(everyMs);
  }
}
