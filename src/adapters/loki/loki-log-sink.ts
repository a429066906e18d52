import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Attempt } from "../../model/attempt.ts";
import type { LogEntry, LogSink } from "../../ports/log-sink.ts";
import { type LineSplitter, lineSplitter } from "./line-splitter.ts";
import type { LokiAddress } from "./loki-address.ts";
import { type LokiLine, push } from "./push.ts";

export interface LokiLogSinkOptions {
  /** Most bytes of lines that wait for Loki, over all attempts; what comes while they do is dropped and counted. */
  readonly maxWaitingBytes: number;
  readonly maxBatchBytes: number;
  /** How long a line waits for others to go with it, and a line without an end for its end. */
  readonly lingerMs: number;
  readonly requestMs: number;
  /** Between two tries; doubled each time up to the most, and each a random part of it longer. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** How long dispose may take to send what waits. */
  readonly disposeMs: number;
}

export const defaultLokiLogSinkOptions: LokiLogSinkOptions = {
  maxWaitingBytes: 16 * 1024 * 1024,
  maxBatchBytes: 512 * 1024,
  lingerMs: 250,
  requestMs: 10_000,
  retryMs: 250,
  maxRetryMs: 10_000,
  disposeMs: 2000,
};

/** Below what Loki takes by default. */
const maxLineBytes = 64 * 1024;
/** What a waiting line takes beside its text. */
const lineOverheadBytes = 256;

/** What one attempt writes to one stream. */
interface Source {
  readonly name: string;
  readonly labels: LokiLine["labels"];
  readonly place: LokiLine["metadata"];
  readonly splitter: LineSplitter;
  /** Of the last piece that came, and when. */
  seq: number;
  lastAtMs: number;
  /** Lines and bytes that are missing since the last line that is not. */
  droppedLines: number;
  droppedBytes: number;
}

interface WaitingLine extends LokiLine {
  readonly source: Source;
}

/**
 * Lines in Loki while the task still writes them, under the labels `app`, `host`, `tool` and `stream`; tenant, task, attempt and
 * sequence number are structured metadata. Lines wait in bounded memory; where they find no room, or Loki will not take them, a line
 * in their place says how many are missing. A task never waits, and never fails by it.
 */
export function lokiLogSink(address: LokiAddress, options = defaultLokiLogSinkOptions): LogSink {
  // Those that keep the beginning of a line, or have something missing that was not told yet, or have just written.
  const sources = new Map<string, Source>();
  const stop = new AbortController();
  const clock = distinctTimes();
  let waiting: WaitingLine[] = [];
  let waitingBytes = 0;
  let droppedCount = 0;
  let sending: Promise<void> | null = null;

  const hasRoom = (bytes: number): boolean => waitingBytes + bytes + lineOverheadBytes <= options.maxWaitingBytes;

  const enqueue = (source: Source, atMs: number, text: string, more: LokiLine["metadata"] = {}): void => {
    const metadata = { ...source.place, seq: String(source.seq), ...more };
    waiting.push({ source, labels: source.labels, atNs: clock(atMs), text, metadata });
    waitingBytes += sizeOf(text);
  };

  const drop = (source: Source, lines: number, bytes: number): void => {
    source.droppedLines += lines;
    source.droppedBytes += bytes;
    droppedCount += lines;
    sources.set(source.name, source);
  };

  /** In the place of what is missing. */
  const tellDropped = (source: Source, atMs: number): void => {
    const { droppedLines: lines, droppedBytes: bytes } = source;
    if (lines === 0) return;
    source.droppedLines = 0;
    source.droppedBytes = 0;
    enqueue(source, atMs, `${ownMark} ${lines} lines (${bytes} bytes) were dropped here`, { dropped: String(lines) });
  };

  const add = (source: Source, atMs: number, bytes: Buffer): void => {
    if (hasRoom(bytes.byteLength)) {
      tellDropped(source, atMs);
      enqueue(source, atMs, bytes.toString());
    } else drop(source, 1, bytes.byteLength);
  };

  const take = (source: Source, { seq, atMs, bytes }: Extract<LogEntry, { kind: "output" }>): void => {
    source.seq = seq;
    source.lastAtMs = atMs;
    if (hasRoom(bytes.byteLength)) {
      for (const line of source.splitter.split(bytes)) add(source, atMs, line);
      return;
    }
    // Without a look at each line: this is where a flood must cost least.
    const keptBytes = source.splitter.rest(false).byteLength;
    drop(source, Math.max(1, countLines(bytes)), keptBytes + bytes.byteLength);
  };

  const sourceOf = (attempt: Attempt, toolName: string, stream: string): Source => {
    const { key, number, owner } = attempt;
    const name = `${key.tenantId}/${key.taskId}/${number}/${owner.pid}/${stream}`;
    const source = sources.get(name) ?? {
      name,
      labels: { app: "tool-executor", host: owner.host, tool: toolName, stream },
      place: { tenant_id: key.tenantId, task_id: key.taskId, attempt: String(number) },
      splitter: lineSplitter(maxLineBytes),
      ...{ seq: 0, lastAtMs: 0, droppedLines: 0, droppedBytes: 0 },
    };
    sources.set(name, source);
    return source;
  };

  /** A line that has waited for its end goes without, and what is missing is told, where there is room for it. */
  const settle = (isLast: boolean): void => {
    const now = Date.now();
    for (const source of sources.values()) {
      const isDue = isLast || now - source.lastAtMs >= options.lingerMs;
      if (isDue && source.splitter.keptBytes() > 0) add(source, now, source.splitter.rest(!isLast));
      if (hasRoom(0)) tellDropped(source, now);
      if (source.splitter.keptBytes() === 0 && source.droppedLines === 0) sources.delete(source.name);
    }
  };

  const nextBatch = (): readonly WaitingLine[] => {
    let bytes = 0;
    const end = waiting.findIndex(({ text }, at) => {
      bytes += sizeOf(text);
      return at > 0 && bytes > options.maxBatchBytes;
    });
    return end === -1 ? waiting.slice() : waiting.slice(0, end);
  };

  const done = (batch: readonly WaitingLine[], isTaken: boolean): void => {
    waiting = waiting.slice(batch.length);
    for (const { source, text, metadata } of batch) {
      waitingBytes -= sizeOf(text);
      if (isTaken) continue;
      // That something is missing is not told of what was to tell that.
      if (metadata.dropped === undefined) drop(source, 1, Buffer.byteLength(text));
      else droppedCount += 1;
    }
  };

  const send = async (): Promise<void> => {
    await pause(options.lingerMs, stop.signal);
    for (let delayMs = options.retryMs; !stop.signal.aborted; ) {
      settle(false);
      const batch = nextBatch();
      if (batch.length === 0 && sources.size === 0) break;
      const pushed = batch.length === 0 ? "taken" : await push(address, batch, options.requestMs, stop.signal);
      if (stop.signal.aborted) break;
      if (pushed === "failed") {
        // Not all executors at the same moment, when Loki comes back.
        await pause(delayMs * (1 + Math.random()), stop.signal);
        delayMs = Math.min(delayMs * 2, options.maxRetryMs);
        continue;
      }
      delayMs = options.retryMs;
      done(batch, pushed === "taken");
      if (waitingBytes < options.maxBatchBytes) await pause(options.lingerMs, stop.signal);
    }
    sending = null;
  };

  return {
    write(attempt, entries, toolName) {
      if (stop.signal.aborted) droppedCount += entries.length;
      if (stop.signal.aborted || entries.length === 0) return;
      for (const entry of entries) {
        if (entry.kind === "output") take(sourceOf(attempt, toolName, entry.stream), entry);
        else add(sourceOf(attempt, toolName, "gap"), Date.now(), Buffer.from(gapText(entry)));
      }
      sending ??= send();
    },
    dropped: () => droppedCount,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await sending;
      settle(true);
      // A batch whose answer was cut off may go twice: the same lines at the same times are one to Loki.
      const giveUpAt = performance.now() + options.disposeMs;
      for (let batch = nextBatch(); batch.length > 0; batch = nextBatch()) {
        const leftMs = giveUpAt - performance.now();
        const pushed = leftMs > 0 ? await push(address, batch, leftMs, unstopped) : "refused";
        if (pushed === "failed") await sleep(Math.min(options.retryMs, leftMs));
        else done(batch, pushed === "taken");
      }
    },
  };
}

const unstopped: AbortSignal = new AbortController().signal;

const ownMark = "[tool-executor]";

const sizeOf = (text: string): number => text.length + lineOverheadBytes;

const gapText = ({ bytes }: Extract<LogEntry, { kind: "gap" }>): string =>
  `${ownMark} ${bytes} bytes of output are missing here`;

/** Unix nanoseconds that no other line of this process has, and hardly one of another. */
function distinctTimes(): (atMs: number) => bigint {
  const offset = BigInt(randomInt(500_000));
  let last = 0n;
  return (atMs) => {
    const wanted = BigInt(Math.floor(atMs)) * 1_000_000n + offset;
    last = wanted > last ? wanted : last + 1n;
    return last;
  };
}

function countLines(bytes: Buffer): number {
  let count = 0;
  // Where lines are short, two or three times as fast as to search for each end.
  for (let at = 0; at < bytes.byteLength; at++) if (bytes[at] === 10) count += 1;
  return count;
}

/** Keeps no process alive. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
