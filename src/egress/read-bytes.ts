import type { Readable } from "node:stream";

/**
 * The next bytes of a stream, as many as there are; null at its end. What is not read stays in the stream.
 * @throws the signal's reason, or what broke the stream.
 */
export async function nextBytes(stream: Readable, signal: AbortSignal): Promise<Buffer | null> {
  for (;;) {
    signal.throwIfAborted();
    const bytes = stream.read() as Buffer | null;
    if (bytes !== null) return bytes;
    if (isOver(stream)) return null;
    await moved(stream, signal);
  }
}

/**
 * Exactly so many bytes, at least one; null when the stream ends before.
 * @throws the signal's reason, or what broke the stream.
 */
export async function exactBytes(stream: Readable, count: number, signal: AbortSignal): Promise<Buffer | null> {
  for (;;) {
    signal.throwIfAborted();
    const bytes = stream.read(count) as Buffer | null;
    // At its end a stream gives what it has.
    if (bytes !== null) return bytes.length === count ? bytes : null;
    if (isOver(stream)) return null;
    await moved(stream, signal);
  }
}

const isOver = (stream: Readable): boolean => stream.readableEnded || stream.destroyed;

/** Until there may be more to read. */
async function moved(stream: Readable, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  const ends = ["readable", "end", "close"] as const;
  for (const name of ends) stream.on(name, resolve);
  stream.on("error", reject);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    for (const name of ends) stream.off(name, resolve);
    stream.off("error", reject);
    signal.removeEventListener("abort", onAbort);
  }
}
