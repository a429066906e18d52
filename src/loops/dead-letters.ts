import { createHash } from "node:crypto";
import type { Reason } from "../model/failure.ts";
import { deadLetterHeaders } from "../model/outbox.ts";
import type { TaskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { TaskStore } from "../ports/task-store.ts";
import { type Delivery, type OutgoingMessage, type Source, sizeOf, type Transport } from "../ports/transport.ts";

/** Where what cannot be dealt with goes: as it came, with why. */
export interface DeadLetters {
  /**
   * Resolves when it is kept on the other side. The store keeps a copy, so that it is found beside the others; while it is away it does
   * not. `key`: the task that it names.
   */
  send(delivery: Delivery, reason: Reason, attempts: number, key: TaskKey | null, signal: AbortSignal): Promise<void>;
}

export function deadLetters(
  transport: Transport,
  objects: ObjectStore,
  clock: Clock,
  store: Pick<TaskStore, "keepLetter">,
): DeadLetters {
  return {
    async send(delivery, reason, attempts, key, signal) {
      const isMessage = delivery.kind === "message";
      const firstSeenAt = isMessage ? delivery.sentAt : clock.now();
      const facts = deadLetterHeaders({ reason, stage: "intake", attempts, firstSeenAt });
      const source = sourceText(delivery.source);
      const letter: OutgoingMessage = {
        channel: "dead_letters",
        key: isMessage ? delivery.key : null,
        value: isMessage ? delivery.value : Buffer.from(JSON.stringify({ unreadable: delivery.why })),
        headers: [...(isMessage ? delivery.headers : []), ...asHeaders({ ...facts, "dlq-source": source })],
      };
      await transport.publish([await sendable(letter, source, transport, objects, signal)], signal);
      const value = letter.value ?? Buffer.alloc(0);
      if (value.length > largestCopy) return;
      await store.keepLetter(key, { ...facts, "dlq-source": source }, value, signal).catch(() => undefined);
    },
  };
}

export const asHeaders = (headers: Readonly<Record<string, string>>): OutgoingMessage["headers"] =>
  Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)] as const);

/** `topic/partition/offset`, and of a batch `topic/partition/first-last`. */
export function sourceText({ topic, partition, firstOffset, lastOffset }: Source): string {
  return `${topic}/${partition}/${firstOffset === lastOffset ? firstOffset : `${firstOffset}-${lastOffset}`}`;
}

/** The letter, or where it is larger than the transport takes, one that says where in the object store it is. */
export async function sendable(
  letter: OutgoingMessage,
  source: string,
  transport: Transport,
  objects: ObjectStore,
  signal: AbortSignal,
): Promise<OutgoingMessage> {
  if (sizeOf(letter) <= transport.maxBytes("dead_letters")) return letter;
  const value = letter.value ?? Buffer.alloc(0);
  const object = `dead_letters/${source}`;
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield value;
  };
  await objects.put(object, body(), signal);
  const reference = { object, size_bytes: value.length, sha256: createHash("sha256").update(value).digest("hex") };
  // A key or header may be what makes it too large: such a one stays behind.
  const small = letter.headers.filter(([name, bytes]) => name.length + bytes.length < largestKept);
  const key = letter.key !== null && Buffer.byteLength(letter.key) >= largestKept ? null : letter.key;
  const headers = [...small, ["dlq-object", Buffer.from(object)] as const];
  return { ...letter, key, headers, value: Buffer.from(JSON.stringify(reference)) };
}

const largestKept = 1024;

/** More is no request that could be replayed. */
const largestCopy = 8 * 1024 * 1024;
