import { setTimeout as sleep } from "node:timers/promises";
import { ExecutorError } from "../../model/failure.ts";
import {
  type Delivery,
  type Headers,
  type Inbound,
  type Outbound,
  type OutgoingMessage,
  sizeOf,
  type Transport,
} from "../../ports/transport.ts";

/** A transport within this process, with both its ends. */
export interface MemoryTransport extends Transport {
  /** From the other side; answers the offset. */
  offer(channel: Inbound, message: Offered): string;
  /** What has come out, oldest first. */
  sent(channel: Outbound): readonly OutgoingMessage[];
  /** How far what was offered is acknowledged: the first offset that is not. */
  acknowledged(channel: Inbound): string;
}

export interface Offered {
  readonly key?: string | Buffer | null;
  readonly value: string | Buffer | null;
  readonly headers?: Headers;
}

const retryAfterMs = 10;
const idleMs = 5;

/** One partition a channel. For tests. */
export function memoryTransport(maxMessageBytes = 1024 * 1024): MemoryTransport {
  const queues: Readonly<Record<Inbound, Delivery[]>> = { tools: [], control: [] };
  const positions: Record<Inbound, number> = { tools: 0, control: 0 };
  const out: OutgoingMessage[] = [];
  let isConsuming = false;

  const drain = async (
    channel: Inbound,
    take: (delivery: Delivery, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> => {
    while (!signal.aborted) {
      const delivery = queues[channel][positions[channel]];
      if (delivery === undefined) await sleep(idleMs, undefined, { signal }).catch(() => undefined);
      else {
        try {
          await take(delivery, signal);
          positions[channel] += 1;
        } catch {
          await sleep(retryAfterMs, undefined, { signal }).catch(() => undefined);
        }
      }
    }
  };

  return {
    offer(channel, { key = null, value, headers = [] }) {
      const offset = String(queues[channel].length);
      queues[channel].push({
        ...{ kind: "message", channel, headers, droppedHeaders: 0, sentAt: Date.now() },
        source: { topic: channel, partition: 0, firstOffset: offset, lastOffset: offset },
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
      });
      return offset;
    },
    sent: (channel) => out.filter((message) => message.channel === channel),
    acknowledged: (channel) => String(positions[channel]),
    async consume(take, signal) {
      isConsuming = true;
      await Promise.all([drain("tools", take, signal), drain("control", take, signal)]);
      isConsuming = false;
    },
    async publish(messages, signal) {
      signal.throwIfAborted();
      const tooLarge = messages.find((message) => sizeOf(message) > maxMessageBytes);
      if (tooLarge)
        throw new ExecutorError("quota", `a message of ${sizeOf(tooLarge)} bytes, at most ${maxMessageBytes}`);
      out.push(...messages);
    },
    maxBytes: () => maxMessageBytes,
    problem: () => (isConsuming ? null : "nobody consumes"),
    lag: () =>
      isConsuming
        ? { tools: queues.tools.length - positions.tools, control: queues.control.length - positions.control }
        : {},
    async [Symbol.asyncDispose]() {},
  };
}
