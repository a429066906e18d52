import { createHash } from "node:crypto";
import type { Reason } from "../model/failure.ts";
import type { Clock } from "../ports/clock.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { type Delivery, type OutgoingMessage, type Source, sizeOf, type Transport } from "../ports/transport.ts";
import { deadLetterHeaders } from "../schema/dead-letter.ts";

/** Where what cannot be dealt with goes: as it came, with why. */
export interface DeadLetters {
  /** Resolves when it is kept. One that the transport does not take whole goes by reference. */
  send(delivery: Delivery, reason: Reason, attempts: number, signal: AbortSignal): Promise<void>;
}

export function deadLetters(transport: Transport, objects: ObjectStore, clock: Clock): DeadLetters {
  return {
    async send(delivery, reason, attempts, signal) {
      const isMessage = delivery.kind === "message";
      const facts = {
        reason,
        stage: "intake",
        attempts,
        source: sourceText(delivery.source),
        firstSeenAt: isMessage ? delivery.sentAt : clock.now(),
      } as const;
      const letter: OutgoingMessage = {
        channel: "dead_letters",
        key: isMessage ? delivery.key : null,
        value: isMessage ? delivery.value : Buffer.from(JSON.stringify({ unreadable: delivery.why })),
        headers: [...(isMessage ? delivery.headers : []), ...deadLetterHeaders(facts)],
      };
      const fits = sizeOf(letter) <= transport.maxBytes("dead_letters");
      await transport.publish([fits ? letter : await byReference(letter, delivery.source, objects, signal)], signal);
    },
  };
}

/** `topic/partition/offset`, and of a batch `topic/partition/first-last`. */
export function sourceText({ topic, partition, firstOffset, lastOffset }: Source): string {
  return `${topic}/${partition}/${firstOffset === lastOffset ? firstOffset : `${firstOffset}-${lastOffset}`}`;
}

/** Key and headers of a message that is too large may be what makes it so: then they stay behind, too. */
async function byReference(
  letter: OutgoingMessage,
  source: Source,
  objects: ObjectStore,
  signal: AbortSignal,
): Promise<OutgoingMessage> {
  const value = letter.value ?? Buffer.alloc(0);
  const object = `dead_letters/${sourceText(source)}`;
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield value;
  };
  await objects.put(object, body(), signal);
  const reference = { object, size_bytes: value.length, sha256: createHash("sha256").update(value).digest("hex") };
  const small = letter.headers.filter(([name, bytes]) => name.length + bytes.length < 1024).slice(-32);
  const key = letter.key !== null && Buffer.byteLength(letter.key) > 1024 ? null : letter.key;
  const headers = [...small, ["dlq-object", Buffer.from(object)] as const];
  return { ...letter, key, headers, value: Buffer.from(JSON.stringify(reference)) };
}
