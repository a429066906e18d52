import { once } from "node:events";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { Delivery, OutgoingMessage, Transport } from "../../../src/ports/transport.ts";

/** A transport within this process that hands out a load as our consumer of Kafka does, and counts what is answered. */
export interface LoadTransport extends Transport {
  /** Hands out `count` requests; resolves when so many results have been published. */
  load(count: number): Promise<void>;
}

/** As `src/adapters/kafka/consumer.ts`: so many partitions, and so many deliveries of each, are taken at once. */
const partitions = 4;
const atOnce = 32;

/** @param request the bytes of request number `n`. */
export function loadTransport(request: (n: number) => Buffer): LoadTransport {
  let offered = 0;
  let handedOut = 0;
  let answered = 0;
  let wanted = 0;
  const wakeUps = new Set<() => void>();
  let onAnswered = (): void => undefined;

  const lot = (partition: number): readonly Delivery[] =>
    Array.from({ length: Math.min(atOnce, offered - handedOut) }, () => {
      const offset = String(handedOut++);
      return {
        ...{ kind: "message", channel: "tools", key: null, headers: [], droppedHeaders: 0, sentAt: Date.now() },
        source: { topic: "tools", partition, firstOffset: offset, lastOffset: offset },
        value: request(Number(offset)),
      };
    });

  return {
    load(count) {
      offered += count;
      wanted += count;
      for (const wakeUp of wakeUps) wakeUp();
      return new Promise((resolve) => {
        onAnswered = resolve;
      });
    },
    async consume(take, signal) {
      const partition = async (number: number): Promise<void> => {
        while (!signal.aborted) {
          const deliveries = lot(number);
          if (deliveries.length === 0) await offeredOr(signal);
          await Promise.all(deliveries.map((delivery) => take(delivery, signal)));
        }
      };
      const offeredOr = async (stop: AbortSignal): Promise<void> => {
        const { promise, resolve } = Promise.withResolvers<void>();
        wakeUps.add(resolve);
        await Promise.race([promise, once(stop, "abort")]);
        wakeUps.delete(resolve);
      };
      await Promise.all(Array.from({ length: partitions }, (_, number) => partition(number)));
    },
    async publish(messages) {
      for (const message of messages) if (isOk(message)) answered += 1;
      if (answered >= wanted) onAnswered();
    },
    maxBytes: () => 1024 * 1024,
    problem: () => null,
    lag: () => ({}),
    async [Symbol.asyncDispose]() {},
  };
}

function isOk({ channel, value }: OutgoingMessage): boolean {
  if (channel !== "results") return false;
  if (!value?.includes('"reason":"ok"')) throw new ExecutorError("internal", `a task of the load ended: ${value}`);
  return true;
}
