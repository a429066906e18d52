import { Duplex } from "node:stream";
import type { SandboxConnection } from "../../ports/sandbox.ts";
import { closeBody, parseOpen, windowBody } from "./protocol/bodies.ts";
import { type Frame, frameType } from "./protocol/frame.ts";

/** Takes a connection that the task made. */
export type OnConnection = (connection: SandboxConnection) => void;

/** The connections of one sandbox's task, over its attached stream. */
export interface Channels {
  /** They will be served: one that comes before that waits for it, instead of being refused. */
  expect(): void;
  /** Who gets them from here on, and those that wait. */
  serve(onConnection: OnConnection): void;
  /** A channel frame of the sandbox's; its body may be overwritten afterwards. */
  take(frame: Frame): void;
  /** All are over: the stream they went over is no more. Nothing is sent. */
  cutOff(): void;
}

/** What either side may send on a channel before the other has said that it takes more. */
const windowBytes = 240 * 1024;
/** One frame's: nothing else waits behind more than that. */
const pieceBytes = 64 * 1024;
/** For what a task still writes behind its last answer. */
const lingerMs = 2_000;
const lingerBytes = 2 * 1024 * 1024;
/** Of one sandbox at once; sandbox-init opens no more. */
const maxChannels = 128;

/**
 * SAFETY: which task a connection belongs to is told by the stream it came over and by nothing that is said on it. What breaks the protocol
 * costs the sandbox the channel, and no other sandbox anything.
 */
export function channels(send: (type: number, channel: number, body: Buffer) => void): Channels {
  const open = new Map<number, Channel>();
  let onConnection: OnConnection | null = null;
  let isExpected = false;
  let waiting: (() => void)[] = [];

  const refuse = (number: number, why: string): void => send(frameType.close, number, closeBody(why));

  /** Why the sandbox may not open it, or null. */
  const whyNot = (number: number, to: string | undefined): string | null => {
    if (to === undefined || number % 2 === 0) return "no channel that a sandbox may open";
    if (onConnection === null && !isExpected) return "nothing is served here";
    return open.size >= maxChannels ? `${maxChannels} channels are open` : null;
  };

  const begin = (number: number, body: Buffer): void => {
    const asked = parseOpen(body);
    const why = whyNot(number, asked?.to);
    if (why !== null || asked === null) {
      refuse(number, why ?? "");
      return;
    }
    const channel = openChannel(
      (type, bytes) => send(type, number, bytes),
      asked.window,
      () => void open.delete(number),
    );
    open.set(number, channel);
    const given = (): void => {
      if (channel.stream.destroyed) return;
      send(frameType.window, number, windowBody(0));
      onConnection?.({ to: asked.to, stream: channel.stream });
    };
    if (onConnection === null) waiting.push(given);
    else given();
  };

  const take = ({ type, channel: number, body }: Frame): void => {
    const channel = open.get(number);
    if (channel) channel.take(type, body);
    else if (type === frameType.open) begin(number, body);
    // What was on its way when we closed it comes here too, and does no harm.
    else if (type !== frameType.close) refuse(number, "no such channel");
  };

  return {
    expect: () => {
      isExpected = true;
    },
    serve: (handler) => {
      onConnection = handler;
      const given = waiting;
      waiting = [];
      for (const give of given) give();
    },
    take,
    cutOff() {
      for (const channel of [...open.values()]) channel.cutOff();
    },
  };
}

interface Channel {
  readonly stream: Duplex;
  take(type: number, body: Buffer): void;
  cutOff(): void;
}

/** @param credit what the sandbox takes at first. */
function openChannel(send: (type: number, body: Buffer) => void, credit: number, onClosed: () => void): Channel {
  let waiting: { bytes: Buffer; readonly done: () => void } | null = null;
  let unsaidBytes = 0;
  let isHeld = false;
  let [hasEnded, theyHaveEnded, isCutOff] = [false, false, false];
  let lingering: NodeJS.Timeout | null = null;
  let droppedBytes = 0;

  const flush = (): void => {
    while (waiting && credit > 0) {
      const bytes = waiting.bytes.subarray(0, Math.min(credit, pieceBytes));
      credit -= bytes.length;
      send(frameType.data, bytes);
      const { done } = waiting;
      const rest = waiting.bytes.subarray(bytes.length);
      waiting = rest.length > 0 ? { bytes: rest, done } : null;
      if (waiting === null) done();
    }
  };
  const grant = (): void => {
    isHeld = false;
    if (unsaidBytes < windowBytes / 4 || theyHaveEnded) return;
    send(frameType.window, windowBody(unsaidBytes));
    unsaidBytes = 0;
  };
  const data = (body: Buffer): void => {
    if (theyHaveEnded || unsaidBytes + body.length > windowBytes) {
      broken("more than its window");
      return;
    }
    if (body.length === 0) {
      theyHaveEnded = true;
      stream.push(null);
      return;
    }
    unsaidBytes += body.length;
    isHeld = !stream.push(Buffer.from(body));
    if (!isHeld) grant();
  };
  /** What was not ended by both is cut off, and the task sees that. */
  const over = (why: string | null = null): void => {
    if (lingering !== null) clearTimeout(lingering);
    lingering = null;
    onClosed();
    if (!isCutOff) send(frameType.close, closeBody(why));
  };
  /** What a task writes that nobody reads any more. One that only writes is cut off. */
  const drop = (type: number, body: Buffer): void => {
    droppedBytes += body.length;
    if (type === frameType.close || (type === frameType.data && body.length === 0)) over();
    else if (droppedBytes > lingerBytes) over();
    else if (type === frameType.data) send(frameType.window, windowBody(body.length));
  };
  const broken = (why: string): void => void stream.destroy(new Error(`the sandbox sent ${why}`));

  const stream = new Duplex({
    readableHighWaterMark: windowBytes,
    writableHighWaterMark: pieceBytes,
    read: () => {
      if (isHeld) grant();
    },
    write(bytes: Buffer, _encoding, done) {
      waiting = { bytes, done };
      flush();
    },
    final(done) {
      hasEnded = true;
      send(frameType.data, Buffer.alloc(0));
      done();
    },
    destroy(error, done) {
      waiting = null;
      const isWhole = hasEnded && error === null;
      // A task that still writes when it has had its answer would lose that with a reset.
      if (isWhole && !theyHaveEnded && !isCutOff) {
        lingering = setTimeout(over, lingerMs).unref();
        // What was read and is not told of yet, or never will be read, is room all the same: without it a task that used all of its window waits.
        if (unsaidBytes > 0) send(frameType.window, windowBody(unsaidBytes));
      } else over(isWhole ? null : "closed");
      done(error);
    },
  });
  // Whoever serves it hears of it by its close.
  stream.on("error", () => undefined);

  return {
    stream,
    take(type, body) {
      if (lingering !== null) drop(type, body);
      else if (type === frameType.data) data(body);
      else if (type === frameType.window && body.length === 4) {
        credit = Math.min(credit + body.readUInt32BE(0), windowBytes);
        flush();
      } else if (type === frameType.close) {
        // What it wrote before its end is still read. Many clients end in a reset, so it is no error.
        if (theyHaveEnded && !stream.readableEnded) stream.once("end", () => stream.destroy());
        else stream.destroy();
      } else broken("what no channel has");
    },
    cutOff() {
      isCutOff = true;
      if (lingering !== null) over();
      stream.destroy(new Error("its sandbox was let go of"));
    },
  };
}
