import { describe, expect, test } from "vitest";
import { fairSlots, type Slot } from "../../../src/executor/slots.ts";
import { never } from "../../support/samples.ts";

/** Who was let in, in order. */
function doors(count: number) {
  const slots = fairSlots(count);
  const entered: string[] = [];
  const held = new Map<string, Slot>();
  const ask = (name: string, tenantId: string): Promise<void> =>
    slots.take(tenantId, never()).then((slot) => {
      entered.push(name);
      held.set(name, slot);
    });
  const leave = async (name: string): Promise<void> => {
    held.get(name)?.[Symbol.dispose]();
    await Promise.resolve();
  };
  return { slots, entered, ask, leave };
}

describe("slots", () => {
  test("are never more than their count", async () => {
    const { entered, ask } = doors(2);
    for (const name of ["a", "b", "c"]) void ask(name, "acme");
    await Promise.resolve();
    await Promise.resolve();
    expect(entered).toEqual(["a", "b"]);
  });

  test("go to who waited longest within one tenant", async () => {
    const { entered, ask, leave } = doors(1);
    const asked = ["a", "b", "c"].map((name) => ask(name, "acme"));
    await asked[0];
    await leave("a");
    await asked[1];
    await leave("b");
    await asked[2];
    expect(entered).toEqual(["a", "b", "c"]);
  });

  test("go to the tenant that holds fewest, however long another's queue is", async () => {
    const { entered, ask, leave } = doors(2);
    const flood = Array.from({ length: 50 }, (_, at) => ask(`flood ${at}`, "flood"));
    await Promise.all(flood.slice(0, 2));
    const single = ask("single", "acme");
    await leave("flood 0");
    await single;
    expect(entered).toEqual(["flood 0", "flood 1", "single"]);
  });

  test("are not held by who stopped waiting", async () => {
    const { slots, ask, leave, entered } = doors(1);
    await ask("a", "acme");
    const stop = new AbortController();
    const waiting = slots.take("acme", stop.signal);
    stop.abort(new Error("no more"));
    await expect(waiting).rejects.toThrow("no more");
    const next = ask("b", "acme");
    await leave("a");
    await next;
    expect(entered).toEqual(["a", "b"]);
  });

  test("are given back once, however often that is said", async () => {
    const { slots, entered, ask } = doors(1);
    const slot = await slots.take("acme", never());
    slot[Symbol.dispose]();
    slot[Symbol.dispose]();
    void ask("a", "acme");
    void ask("b", "acme");
    await Promise.resolve();
    await Promise.resolve();
    expect(entered).toEqual(["a"]);
  });
});
