import { describe, expect, test } from "vitest";
import type { Delivery, Headers, Inbound, Outbound, OutgoingMessage, Transport } from "../../src/ports/transport.ts";
import { never } from "../support/samples.ts";
import { until } from "../support/until.ts";

/** A transport, and what stands on its other side. */
export interface Ends extends AsyncDisposable {
  /** Each call another member, with the same place to begin from as the last one ended at. */
  open(): Transport;
  offer(channel: Inbound, message: { key?: string; value: string | null; headers?: Headers }): Promise<unknown>;
  sent(channel: Outbound): Promise<readonly Pick<OutgoingMessage, "key" | "value" | "headers">[]>;
}

const boundMs = 30_000;

/** What every transport promises, whatever it is made of. */
export function transportConformance(name: string, ends: () => Promise<Ends>): void {
  describe(`${name} is a Transport`, () => {
    test("hands out what was sent, as it was", async () => {
      await using far = await ends();
      await using near = consuming(far.open());
      await far.offer("tools", {
        key: "acme",
        value: "{}",
        headers: [
          ["traceparent", Buffer.from("00-a")],
          ["twice", Buffer.from("1")],
          ["twice", Buffer.from([0xff, 0])],
        ],
      });
      await far.offer("control", { value: "stop" });
      await until("both", () => near.taken.length === 2, boundMs);
      expect(near.taken.find(({ channel }) => channel === "tools")).toMatchObject({
        kind: "message",
        source: { firstOffset: "0", lastOffset: "0" },
        key: Buffer.from("acme"),
        value: Buffer.from("{}"),
        headers: [
          ["traceparent", Buffer.from("00-a")],
          ["twice", Buffer.from("1")],
          ["twice", Buffer.from([0xff, 0])],
        ],
        droppedHeaders: 0,
      });
      expect(near.taken.find(({ channel }) => channel === "control")).toMatchObject({ key: null, headers: [] });
    });

    test("a tombstone is a message without a value", async () => {
      await using far = await ends();
      await using near = consuming(far.open());
      await far.offer("tools", { key: "k", value: null });
      await until("it", () => near.taken.length === 1, boundMs);
      expect(near.taken[0]).toMatchObject({ kind: "message", key: Buffer.from("k"), value: null });
    });

    test("what was not taken comes again, and what was does not", async () => {
      await using far = await ends();
      let refusals = 0;
      {
        await using near = consuming(far.open(), async (delivery) => {
          if (textOf(delivery) === "second" && refusals++ < 2) throw new Error("not now");
        });
        for (const value of ["first", "second", "third"]) await far.offer("tools", { key: "same", value });
        await until("the second", () => near.taken.some((each) => textOf(each) === "second"), boundMs);
        await until("the third", () => near.taken.some((each) => textOf(each) === "third"), boundMs);
      }
      await using next = consuming(far.open());
      await far.offer("tools", { key: "same", value: "fourth" });
      await until("the fourth", () => next.taken.length > 0, boundMs);
      expect(next.taken.map(textOf)).toEqual(["fourth"]);
    });

    test("tells how much it has not taken, for as long as it consumes", async () => {
      await using far = await ends();
      let mayTake = false;
      const transport = far.open();
      {
        await using near = consuming(transport, async () => {
          if (!mayTake) throw new Error("not now");
        });
        for (const value of ["first", "second", "third"]) await far.offer("tools", { key: "same", value });
        await far.offer("control", { value: "stop" });
        await until("all are behind", () => transport.lag().tools === 3 && transport.lag().control === 1, boundMs);
        mayTake = true;
        await until("all are taken", () => near.taken.length >= 4, boundMs);
        await until("none is", () => transport.lag().tools === 0 && transport.lag().control === 0, boundMs);
      }
      expect(transport.lag()).toEqual({});
    });

    test("what was never taken is handed to the next member", async () => {
      await using far = await ends();
      {
        let tries = 0;
        await using _near = consuming(far.open(), async () => {
          tries += 1;
          throw new Error("not now");
        });
        await far.offer("tools", { value: "first" });
        await until("a try", () => tries > 0, boundMs);
      }
      await using next = consuming(far.open());
      await until("it", () => next.taken.length > 0, boundMs);
      expect(next.taken.map(textOf)).toEqual(["first"]);
    });

    // What comes too late to be told to a consumer that has ended would end the test run.
    test("what is being taken when it ends is the next member's, and nothing of it goes on", async () => {
      await using far = await ends();
      {
        const begun = Promise.withResolvers<void>();
        await using _near = consuming(far.open(), async (_delivery, signal) => {
          begun.resolve();
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        });
        await far.offer("tools", { value: "first" });
        await begun.promise;
      }
      await using next = consuming(far.open());
      await until("it", () => next.taken.length > 0, boundMs);
      expect(next.taken.map(textOf)).toEqual(["first"]);
    });

    test("sends what it is given, as it is, in the order of each key", async () => {
      await using far = await ends();
      await using transport = far.open();
      const headers = [
        ["dlq-reason", Buffer.from("validation")],
        ["twice", Buffer.from("1")],
        ["twice", Buffer.from([0xff])],
      ] as const;
      const message = {
        channel: "dead_letters",
        key: Buffer.from([0xff]),
        value: Buffer.from([0, 1]),
        headers,
      } as const;
      await transport.publish([message, { ...message, value: null }], never());
      for (const value of ["1", "2", "3"])
        await transport.publish([{ channel: "results", key: "t-1", value: Buffer.from(value), headers: [] }], never());
      expect(await far.sent("dead_letters")).toEqual([
        { key: Buffer.from([0xff]), value: Buffer.from([0, 1]), headers },
        { key: Buffer.from([0xff]), value: null, headers },
      ]);
      expect((await far.sent("results")).map(({ value }) => value?.toString())).toEqual(["1", "2", "3"]);
    });

    test("refuses a message that is too large, and sends nothing of its lot", async () => {
      await using far = await ends();
      await using transport = far.open();
      const small = { channel: "results", key: "t-1", value: Buffer.from("small"), headers: [] } as const;
      const large = { ...small, value: Buffer.alloc(transport.maxBytes("results")) };
      await expect(transport.publish([small, large], never())).rejects.toMatchObject({ code: "quota" });
      await transport.publish([small], never());
      expect(await far.sent("results")).toHaveLength(1);
    });

    test("sends what is as large as it takes", async () => {
      await using far = await ends();
      await using transport = far.open();
      const value = Buffer.alloc(transport.maxBytes("results") - 128, "x");
      const message = { channel: "results", key: "t-1", value, headers: [] } as const;
      await transport.publish([message, message, message], never());
      expect((await far.sent("results")).map((each) => each.value?.length)).toEqual(Array(3).fill(value.length));
    });
  });
}

const textOf = (delivery: Delivery): string | null =>
  delivery.kind === "message" ? (delivery.value?.toString() ?? null) : null;

interface Consuming extends AsyncDisposable {
  /** What `take` has let pass: acknowledged by the time of dispose at the latest. */
  readonly taken: readonly Delivery[];
}

/** Consumes until dispose. */
function consuming(
  transport: Transport,
  take: (delivery: Delivery, signal: AbortSignal) => Promise<void> = async () => undefined,
): Consuming {
  const stop = new AbortController();
  const taken: Delivery[] = [];
  const done = transport.consume(async (delivery, signal) => {
    await take(delivery, signal);
    taken.push(delivery);
  }, stop.signal);
  return {
    taken,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await done;
      await transport[Symbol.asyncDispose]();
    },
  };
}
