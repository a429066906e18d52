import { setImmediate as turn } from "node:timers/promises";

export interface LotBounds<Ask> {
  /** Calls in one lot. */
  readonly maxCount: number;
  /** Of what they bring; a call that brings more by itself goes alone. */
  readonly maxBytes: number;
  readonly bytesOf: (ask: Ask) => number;
  /** Two calls of one name never go together. */
  readonly nameOf: (ask: Ask) => string;
  /** After this failure of a lot none of it has been done: each is tried alone, so that what is wrong with one is no other's failure. */
  readonly isUndone: (error: unknown) => boolean;
}

interface Waiting<Ask, Answer> {
  readonly ask: Ask;
  readonly name: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One call for many: what is asked for while a lot is on its way waits, and goes together with the next. So a call by itself goes at
 * once, and the busier it gets, the fewer statements there are for each call. A call is answered when `carryOut` is, one answer for each
 * ask in their order, or fails as it does. A caller whose signal aborts waits no longer; what it asked for may be carried out all the same.
 */
export function inLots<Ask, Answer>(
  carryOut: (asks: readonly Ask[]) => Promise<readonly (Answer | Promise<Answer>)[]>,
  { maxCount, maxBytes, bytesOf, nameOf, isUndone }: LotBounds<Ask>,
): (ask: Ask, signal: AbortSignal) => Promise<Answer> {
  const waiting = new Set<Waiting<Ask, Answer>>();
  let isBusy = false;

  /** The oldest that may go together. */
  const nextLot = (): readonly Waiting<Ask, Answer>[] => {
    const lot = new Map<string, Waiting<Ask, Answer>>();
    let bytes = 0;
    for (const each of waiting) {
      if (lot.has(each.name)) continue;
      bytes += bytesOf(each.ask);
      if (lot.size > 0 && (lot.size >= maxCount || bytes > maxBytes)) break;
      lot.set(each.name, each);
      waiting.delete(each);
    }
    return [...lot.values()];
  };

  const answer = async (lot: readonly Waiting<Ask, Answer>[]): Promise<void> => {
    try {
      const answers = await carryOut(lot.map(({ ask }) => ask));
      for (const [index, { resolve, reject }] of lot.entries())
        Promise.resolve(answers[index] as Answer | Promise<Answer>).then(resolve, reject);
    } catch (error) {
      if (lot.length > 1 && isUndone(error)) await Promise.all(lot.map((each) => answer([each])));
      else for (const { reject } of lot) reject(error);
    }
  };

  const work = async (): Promise<void> => {
    // What the same turn of the event loop brings is one lot.
    await turn();
    while (waiting.size > 0) {
      await answer(nextLot());
    }
    isBusy = false;
  };

  return async (ask, signal) => {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const entry = { ask, name: nameOf(ask), resolve, reject };
    const onAbort = (): void => {
      waiting.delete(entry);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    waiting.add(entry);
    if (!isBusy) {
      isBusy = true;
      void work();
    }
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };
}
