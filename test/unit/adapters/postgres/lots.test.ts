import { describe, expect, test } from "vitest";
import { inLots, type LotBounds } from "../../../../src/adapters/postgres/lots.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";
import { never } from "../../../support/samples.ts";

/** The asks of each lot, which are answered in capitals once the test lets go of them. */
function lots(bounds: Partial<LotBounds<string>> = {}) {
  const sent: (readonly string[])[] = [];
  const held: PromiseWithResolvers<void>[] = [];
  const arrivals: (() => void)[] = [];
  const ask = inLots(
    async (asks: readonly string[]) => {
      sent.push(asks);
      const hold = Promise.withResolvers<void>();
      held.push(hold);
      arrivals.shift()?.();
      await hold.promise;
      return asks.map((each) => each.toUpperCase());
    },
    { maxCount: 3, maxBytes: 1000, bytesOf: () => 1, nameOf: (each) => each, isUndone: () => false, ...bounds },
  );
  return {
    sent,
    ask: (what: string, signal = never()) => ask(what, signal),
    /** Resolves when one more lot is on its way. */
    arrival: () => new Promise<void>((resolve) => arrivals.push(resolve)),
    /** The lot on its way is carried out, or fails. */
    end: (failure?: Error) => (failure ? held.shift()?.reject(failure) : held.shift()?.resolve()),
  };
}

describe("calls in lots", () => {
  test("what comes at once, and what comes while a lot is on its way, goes together; each has its own answer", async () => {
    const { ask, sent, arrival, end } = lots();
    const first = [arrival(), ask("a"), ask("b")] as const;
    await first[0];
    const second = [ask("c"), ask("d"), ask("e"), ask("f")] as const;
    const next = arrival();
    end();
    expect([await first[1], await first[2]]).toEqual(["A", "B"]);
    await next;
    const last = arrival();
    end();
    await last;
    end();
    expect(await Promise.all(second)).toEqual(["C", "D", "E", "F"]);
    expect(sent).toEqual([["a", "b"], ["c", "d", "e"], ["f"]]);
  });

  test("a lot holds no more bytes than it may; a call that is larger goes alone", async () => {
    const { ask, sent, arrival, end } = lots({ maxBytes: 10, bytesOf: ({ length }) => length });
    const answers = ["xxxxx", "yyyyy", "z", "w".repeat(11), "v"].map((each) => ask(each));
    for (let lot = 0; lot < 4; lot += 1) {
      await arrival();
      end();
    }
    await Promise.all(answers);
    expect(sent.map((asks) => asks.map((each) => each[0]).join(""))).toEqual(["xy", "z", "w", "v"]);
  });

  test("two calls of one name never go together", async () => {
    const { ask, sent, arrival, end } = lots({ nameOf: ([initial = ""]) => initial });
    const answers = ["a1", "a2", "b1"].map((each) => ask(each));
    await arrival();
    const next = arrival();
    end();
    await next;
    end();
    expect(await Promise.all(answers)).toEqual(["A1", "A2", "B1"]);
    expect(sent).toEqual([["a1", "b1"], ["a2"]]);
  });

  test("of a lot that was undone each is tried alone: what is wrong with one is no other's failure", async () => {
    const wrong = new ExecutorError("internal", "b cannot be stored");
    const ask = inLots(
      async (asks: readonly string[]) => {
        if (asks.includes("b")) throw wrong;
        return asks;
      },
      { maxCount: 3, maxBytes: 1000, bytesOf: () => 1, nameOf: (each) => each, isUndone: (error) => error === wrong },
    );
    const ended = await Promise.allSettled(["a", "b", "c"].map((each) => ask(each, never())));
    expect(ended).toEqual([
      { status: "fulfilled", value: "a" },
      { status: "rejected", reason: wrong },
      { status: "fulfilled", value: "c" },
    ]);
  });

  test("any other failure is everybody's, and the next lot goes on", async () => {
    const { ask, sent, arrival, end } = lots();
    const answers = Promise.allSettled([ask("a"), ask("b")]);
    await arrival();
    end(new Error("no answer"));
    expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const again = [arrival(), ask("c")] as const;
    await again[0];
    end();
    expect(await again[1]).toBe("C");
    expect(sent).toEqual([["a", "b"], ["c"]]);
  });

  test("an answer of its own that fails is its caller's alone", async () => {
    const ask = inLots(
      async (asks: readonly string[]) => asks.map((each) => (each === "a" ? Promise.reject(new Error("a")) : each)),
      { maxCount: 3, maxBytes: 1000, bytesOf: () => 1, nameOf: (each) => each, isUndone: () => true },
    );
    const ended = await Promise.allSettled(["a", "b"].map((each) => ask(each, never())));
    expect(ended.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
  });

  test("a caller that gives up is told so at once, and is in no later lot", async () => {
    const { ask, sent, arrival, end } = lots();
    const giveUp = new AbortController();
    const going = [arrival(), ask("a", giveUp.signal)] as const;
    await going[0];
    const waiting = ask("b", giveUp.signal);
    giveUp.abort(new Error("enough"));
    await expect(going[1]).rejects.toThrow("enough");
    await expect(waiting).rejects.toThrow("enough");
    const next = [arrival(), ask("c")] as const;
    end();
    await next[0];
    end();
    expect(await next[1]).toBe("C");
    expect(sent).toEqual([["a"], ["c"]]);
  });
});
