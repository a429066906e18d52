import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { AttachEvents, AttachedStream } from "./attach.ts";
import { type Doors, doorPath, doorStream } from "./door.ts";
import type { Engine } from "./engine.ts";
import { helloBody, parsePrepared, parseReady, type Ready } from "./protocol/bodies.ts";
import { demux, type StreamPiece } from "./protocol/demux.ts";
import {
  ackBody,
  encodeFrame,
  type Frame,
  frameType,
  isOfChannel,
  magicLine,
  noToken,
  readSafe64,
} from "./protocol/frame.ts";
import { type FrameReader, frameReader } from "./protocol/frame-reader.ts";

/** What the link tells the sandbox it belongs to. */
export interface LinkEvents {
  /** Numbered frames, each once and in order, whatever attaches lie between. Their bodies are good until the `taken` after next. */
  frames(frames: readonly Frame[]): void;
  /** A frame of a channel; its body may be overwritten afterwards. */
  channel(frame: Frame): void;
  /** What became of the program that was to be started before the task. */
  prepared(isReady: boolean): void;
  /** The stream that all channels went over is no more. */
  detached(): void;
  /** The container has ended, or can no longer be reached: the link is over. */
  lost(why: string): void;
}

/**
 * One sandbox's attached stream, kept up over detaches: frames out are sent again until the sandbox has them, frames in come once.
 * A stream that breaks is attached again, at most {@link maxReattaches} times in a row without a frame between.
 */
export interface SandboxLink {
  /** Attaches and resolves with `ready`; `onAttached` starts what is attached to. */
  connect(signal: AbortSignal, onAttached?: () => Promise<void>): Promise<Ready>;
  /** Queues a numbered frame; `null` when the link is over. `onNumber` hears its number first. */
  send(type: number, body: Buffer, onNumber?: (seq: number) => void): number | null;
  /** Sends a frame of a channel, or drops it where nothing is attached. */
  sendOn(type: number, channel: number, body: Buffer): void;
  /** Tells the sandbox that nothing further is wanted of it; its stream's end is then no loss. */
  shutDown(): void;
  /** Resolves when at most `bytes` of sent bodies are not yet used by the sandbox. */
  drained(bytes: number, signal: AbortSignal): Promise<void>;
  ack(seq: number): void;
  /** Whoever has the frames delivered so far has taken them, and is done with what he had before. */
  taken(): void;
  token(): string;
  /** The last 8 KiB sandbox-init printed outside the protocol. */
  diagnosis(): string;
  close(): void;
}

const maxReattaches = 8;
const readyMs = 10_000;
const diagnosisBytes = 8192;
/** Frames are written in one go: half of one that stands still has a wrong length, or its rest was lost. */
const stallMs = 2_000;
/** A pause before a further attach, doubled each time: an engine that restarts needs seconds. */
const firstDelayMs = 50;

/** Where a link begins. */
export interface LinkStart {
  readonly token: string;
  readonly lastSeq: number;
  /** Ways into fresh sandboxes beside the engine's; absent: none is tried. */
  readonly doors?: Doors | undefined;
}

/** A way for the protocol's bytes. */
interface Way {
  /** Opens it, or goes on with one that is open, for other ears. */
  open(events: AttachEvents, signal: AbortSignal): Promise<AttachedStream>;
  split(chunk: Buffer): readonly StreamPiece[];
}

interface Sent {
  readonly seq: number;
  readonly pieces: readonly Buffer[];
  readonly bodyBytes: number;
}

export function sandboxLink(engine: Engine, id: string, from: LinkStart, events: LinkEvents): SandboxLink {
  const startedAt = process.hrtime.bigint();
  let token = from.token;
  let lastSeq = from.lastSeq;
  const name = `sandbox ${id.slice(0, 12)}`;
  // The engine's stream: what goes over it where there is no other way, and what sandbox-init prints in any case.
  let attached: AttachedStream | null = null;
  // The way by the sandbox's door, once we came in by it.
  let inside: Way | null = null;
  let current: { readonly stream: AttachedStream; readonly reader: FrameReader; go(): void } | null = null;
  let closed = false;
  let isLast = false;
  let reattaches = 0;
  let nextSeq = 1;
  let unused: Sent[] = [];
  let unusedBytes = 0;
  let diagnosis = Buffer.alloc(0);
  let ackedSeq = from.lastSeq;
  let toAck = from.lastSeq;
  let ackTimer: NodeJS.Timeout | null = null;
  const waiters = new Set<() => void>();

  const timeUs = (): number => Number((process.hrtime.bigint() - startedAt) / 1000n);
  const write = (pieces: readonly Buffer[]): void => {
    current?.stream.write(pieces);
  };
  const frame = (type: number, seq: number, body: Buffer, channel = 0): Frame => ({
    type,
    channel,
    seq,
    timeUs: timeUs(),
    body,
  });

  const over = (why: string): void => {
    if (closed) return;
    close();
    events.lost(why);
  };

  const used = (seq: number): void => {
    unused = unused.filter((sent) => sent.seq > seq);
    unusedBytes = unused.reduce((sum, sent) => sum + sent.bodyBytes, 0);
    for (const wake of waiters) wake();
  };

  const sendAck = (): void => {
    if (ackTimer) clearTimeout(ackTimer);
    ackTimer = null;
    if (toAck <= ackedSeq) return;
    ackedSeq = toAck;
    write(encodeFrame(frame(frameType.hostAck, 0, ackBody(toAck))));
  };

  /** Takes what came in; the answer tells whether the stream has to be attached again. */
  const take = (frames: readonly Frame[], onReady: (ready: Ready) => void): boolean => {
    const numbered: Frame[] = [];
    let again = false;
    for (const one of frames) {
      if (one.seq > 0) numbered.push(one);
      else if (isOfChannel(one.type)) events.channel(one);
      else if (one.type === frameType.sandboxAck && one.body.length === 8) used(readSafe64(one.body, 0) ?? 0);
      else if (one.type === frameType.error) again = true;
      else if (one.type === frameType.prepared) events.prepared(parsePrepared(one.body));
      else if (one.type === frameType.ready) {
        const ready = parseReady(one.body);
        if (ready) onReady(ready);
      }
    }
    if (numbered.length > 0) {
      reattaches = 0;
      events.frames(numbered);
    }
    return again;
  };

  /** Says hello by one way, which is the current one from then on. */
  const greet = async (
    way: Way,
    door: string | null,
    signal: AbortSignal,
    onAttached?: () => Promise<void>,
  ): Promise<Ready> => {
    const nonce = randomBytes(16).toString("hex");
    const { promise, resolve, reject } = Promise.withResolvers<Ready>();
    promise.catch(() => undefined);
    let isReady = false;
    const reader = frameReader(nonce, lastSeq);
    const isCurrent = (): boolean => current?.reader === reader;
    // What a chunk held beyond the room there was; the stream waits meanwhile, so the chunk stays as it is.
    let rest: readonly StreamPiece[] = [];
    let heardBytes = 0;
    let heardBefore = -1;

    const broken = (why: string): void => {
      if (!isCurrent()) return;
      current?.stream.destroy();
      current = null;
      events.detached();
      if (isLast) close();
      else if (isReady) void reattach(why);
      else reject(new ExecutorError("sandbox", `${name}: ${why} before sandbox-init was ready${printed()}`));
    };
    const onReady = (ready: Ready): void => {
      isReady = true;
      resolve(ready);
    };
    /** False when there is no room for all of it. */
    const feed = (pieces: readonly StreamPiece[]): boolean => {
      for (const [index, { stream, bytes }] of pieces.entries()) {
        if (stream === "stderr") {
          diagnosis = Buffer.concat([diagnosis, bytes]).subarray(-diagnosisBytes);
          continue;
        }
        if (!isCurrent()) continue;
        const taken = reader.push(bytes);
        lastSeq = reader.lastSeq();
        const again = take(taken.frames, onReady);
        const why = reader.broken();
        if (why || again) {
          broken(why ? `its stream is broken (${why})` : "it reported a broken stream");
          return true;
        }
        if (taken.bytes < bytes.length) {
          rest = [{ stream, bytes: bytes.subarray(taken.bytes) }, ...pieces.slice(index + 1)];
          return false;
        }
      }
      rest = [];
      return true;
    };

    const lookForStall = (): void => {
      if (!isCurrent()) clearInterval(stall);
      else if (heardBytes === heardBefore && rest.length === 0 && reader.isMidFrame())
        broken("half a frame stands still");
      heardBefore = heardBytes;
    };

    const bytes = (chunk: Buffer): boolean => {
      heardBytes += chunk.length;
      return feed(way.split(chunk));
    };
    const stream = await way.open({ bytes, closed: () => broken("its stream ended") }, signal);
    if (closed) {
      stream.destroy();
      throw new ExecutorError("sandbox", `${name}: let go of while it was being attached`);
    }
    current = {
      stream,
      reader,
      go: () => {
        reader.swap();
        if (rest.length > 0 && feed(rest)) stream.resume();
      },
    };
    const stall = setInterval(lookForStall, stallMs);
    // Others keep the process alive for a task; after the last one this clock must not.
    stall.unref();
    write([magicLine(token, nonce), ...encodeFrame(frame(frameType.hello, 0, helloBody(lastSeq, door)))]);
    const late = `${name}: sandbox-init was not ready within ${readyMs} ms`;
    using limit = deadline(signal, readyMs, new ExecutorError("sandbox", late));
    const onAbort = (): void => reject(limit.signal.reason);
    limit.signal.addEventListener("abort", onAbort, { once: true });
    const [ready] = await Promise.all([promise, onAttached?.()]);
    token = ready.token;
    if (lastSeq + 1 < ready.firstSeq) over(`events ${lastSeq + 1} to ${ready.firstSeq - 1} are lost`);
    nextSeq = Math.max(nextSeq, ready.lastInSeq + 1);
    for (const sent of unused) if (sent.seq > ready.lastInSeq) write(sent.pieces);
    return ready;
  };

  const attach = async (signal: AbortSignal, door: string | null, onAttached?: () => Promise<void>): Promise<Ready> => {
    letGo();
    const open: Way["open"] = async (on, openSignal) => (attached = await engine.attach(id, on, openSignal));
    return greet({ open, split: demux() }, door, signal, onAttached);
  };

  /** Null: it leads nowhere. The engine's way stays the current one, unless there was somebody behind the door who did not answer. */
  const comeIn = async (pid: number, door: string, signal: AbortSignal): Promise<Ready | null> => {
    let stream: AttachedStream | null = null;
    let heard: AttachEvents;
    const way: Way = {
      async open(on) {
        heard = on;
        const through: AttachEvents = { bytes: (chunk) => heard.bytes(chunk), closed: () => heard.closed() };
        stream ??= await doorStream(doorPath(pid, door), through);
        return stream;
      },
      split: (chunk) => [{ stream: "stdout", bytes: chunk }],
    };
    try {
      const ready = await greet(way, null, signal);
      inside = way;
      return ready;
    } catch {
      signal.throwIfAborted();
      if (stream !== null && current?.stream === stream) letGo();
      return null;
    }
  };

  const connect = async (signal: AbortSignal, onAttached?: () => Promise<void>): Promise<Ready> => {
    if (inside && current) return greet(inside, null, signal);
    if (!onAttached || !from.doors?.areWorthIt()) return attach(signal, null, onAttached);
    const door = randomBytes(16).toString("hex");
    let pid: number | null = null;
    const ready = await attach(signal, door, async () => {
      await onAttached();
      // Without an answer it goes on as it began.
      const found = await engine.inspect(id, signal).catch(() => null);
      pid = found?.pid ?? null;
    });
    if (!ready.door || pid === null) return ready;
    const within = await comeIn(pid, door, signal);
    from.doors.tried(within !== null);
    if (within !== null) return within;
    return current === null ? attach(signal, null) : ready;
  };

  const printed = (): string =>
    diagnosis.length > 0 ? `; it printed: ${diagnosis.toString("utf8").trim().slice(-400)}` : "";

  const reattach = async (why: string): Promise<void> => {
    while (!closed) {
      reattaches += 1;
      if (reattaches > maxReattaches) return over(`${why}, and ${maxReattaches} further attaches failed`);
      if (await endedSoon()) return over(why);
      try {
        await attach(never, null);
        return;
      } catch (error) {
        why = error instanceof Error ? error.message : why;
        await sleep(firstDelayMs * 2 ** reattaches);
      }
    }
  };

  /** A stream that ends is mostly a container that ends: the engine needs some 30 ms to notice. */
  const endedSoon = async (): Promise<boolean> => {
    for (let delayMs = 5; delayMs <= 80; delayMs *= 2) {
      const state = await engine.inspect(id, never).catch(() => undefined);
      if (state === null || state?.running === false) return true;
      await sleep(delayMs);
      if (closed) return true;
    }
    return false;
  };

  const close = (): void => {
    closed = true;
    if (ackTimer) clearTimeout(ackTimer);
    for (const wake of waiters) wake();
    letGo();
  };

  function letGo(): void {
    attached?.destroy();
    current?.stream.destroy();
    attached = current = inside = null;
    events.detached();
  }

  const send = (type: number, body: Buffer, onNumber?: (seq: number) => void): number | null => {
    if (closed) return null;
    const seq = nextSeq;
    onNumber?.(seq);
    nextSeq += 1;
    const pieces = encodeFrame(frame(type, seq, body));
    unused.push({ seq, pieces, bodyBytes: body.length });
    unusedBytes += body.length;
    write(pieces);
    return seq;
  };

  return {
    connect,
    send,
    sendOn(type, channel, body) {
      if (current) write(encodeFrame(frame(type, 0, body, channel)));
    },
    shutDown() {
      if (isLast || send(frameType.shutdown, Buffer.alloc(0)) === null) return;
      isLast = true;
    },
    async drained(bytes, signal) {
      while (!closed && unusedBytes > bytes) {
        signal.throwIfAborted();
        const { promise, resolve } = Promise.withResolvers<void>();
        const wake = (): void => resolve();
        waiters.add(wake);
        signal.addEventListener("abort", wake, { once: true });
        await promise;
        waiters.delete(wake);
        signal.removeEventListener("abort", wake);
      }
    },
    ack(seq) {
      toAck = Math.max(toAck, seq);
      // Few acknowledgements for a flood, and none that waits long for a trickle.
      if (toAck - ackedSeq >= 8) sendAck();
      else ackTimer ??= setTimeout(sendAck, 20);
    },
    taken: () => current?.go(),
    token: () => token,
    diagnosis: () => diagnosis.toString("utf8"),
    close() {
      sendAck();
      close();
    },
  };
}

/** For calls that end by their own deadline only. */
const never: AbortSignal = new AbortController().signal;

/** Where a first attach begins. */
export const fromTheStart: LinkStart = { token: noToken, lastSeq: 0 };
