/** What comes in: tool calls, and wishes about them. */
export type Inbound = "tools" | "control";

/** What goes out. */
export type Outbound = "results" | "dead_letters" | "progress";

/** In their order; a name may come more than once. */
export type Headers = readonly (readonly [name: string, value: Buffer])[];

/** Where a delivery stands in what the transport keeps. Offsets are decimal: they may be beyond what a number holds. */
export interface Source {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: string;
  /** The same as the first, but for a batch that cannot be taken apart. */
  readonly lastOffset: string;
}

/** A message that is not acknowledged yet. */
export interface Message {
  readonly kind: "message";
  readonly channel: Inbound;
  readonly source: Source;
  readonly key: Buffer | null;
  /** Null is a tombstone. */
  readonly value: Buffer | null;
  readonly headers: Headers;
  /** Headers beyond the first 64, or 64 KiB of them, which are not kept. */
  readonly droppedHeaders: number;
  /** Unix milliseconds, as its sender or the broker says. */
  readonly sentAt: number;
}

/** A batch out of which no message can be had. */
export interface Unreadable {
  readonly kind: "unreadable";
  readonly channel: Inbound;
  readonly source: Source;
  readonly why: string;
}

export type Delivery = Message | Unreadable;

export interface OutgoingMessage {
  readonly channel: Outbound;
  /** Messages with one key keep their order. */
  readonly key: string | Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Headers;
}

/** What whoever watches a transport may count or write down. Nothing in it is secret. */
export type TransportEvent =
  | { readonly kind: "joined"; readonly partitions: number }
  | { readonly kind: "rebalancing" }
  /** A partition waits, since a delivery was not taken. */
  | { readonly kind: "held"; readonly source: Source; readonly why: string }
  | { readonly kind: "trouble"; readonly what: string; readonly why: string };

/** Messages in and out, at least once each. One per process; calls may run at once. */
export interface Transport extends AsyncDisposable {
  /**
   * Hands out deliveries until `signal` aborts, several at a time. One is acknowledged once `take` has resolved; where it rejects,
   * nothing after it of its partition is acknowledged, and it is handed out again after a pause. Trouble with the other side is waited
   * out. `take`'s signal aborts when the delivery is no longer ours to take.
   *
   * @throws ExecutorError validation, for what waiting does not mend: a topic that is missing and may not be made.
   */
  consume(take: (delivery: Delivery, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /**
   * Resolves when every message is kept on the other side as durably as it does (progress: as fast as it does). After a failure any of
   * them may have been kept all the same.
   * @throws ExecutorError quota, for a message larger than {@link maxBytes}, with none sent; internal, when it cannot be sent now.
   */
  publish(messages: readonly OutgoingMessage[], signal: AbortSignal): Promise<void>;
  /** Bytes of key, value and headers that one message may have; may shrink when the other side turns out to take less. */
  maxBytes(channel: Outbound): number;
  /** Null while deliveries can come in; otherwise why not, for people. */
  problem(): string | null;
  /**
   * Deliveries in this process's part of each channel that are not acknowledged, as it was last heard; nobody is asked. A channel of which
   * it has no part, as while the other side is away, is not there.
   */
  lag(): Readonly<Partial<Record<Inbound, number>>>;
}

/** What counts against {@link Transport.maxBytes}. */
export function sizeOf({ key, value, headers }: OutgoingMessage): number {
  const ofHeaders = headers.reduce((sum, [name, bytes]) => sum + Buffer.byteLength(name) + bytes.length + 8, 0);
  return (key === null ? 0 : Buffer.byteLength(key)) + (value?.length ?? 0) + ofHeaders + 32;
}
