import type { Duplex, Readable } from "node:stream";

/** For a client that goes on writing behind its last answer: what is on its way when it gets that, and not all that it has. */
const lingerBytes = 2 * 1024 * 1024;
const defaultLingerMs = 2000;

/**
 * Ends a client with these bytes. What it still writes is dropped for a while, or until it ends too: a reset would take the last word with it.
 */
export function lastWord(client: Duplex, bytes: string | Uint8Array, lingerMs = defaultLingerMs): void {
  if (client.destroyed) return;
  client.end(bytes);
  dropRest(client, client, lingerMs);
}

/** Drops what `source` still brings of a client that has its last answer, for `lingerMs` or 2 MiB; then the client is cut off. */
export function dropRest(source: Readable, client: Duplex, lingerMs = defaultLingerMs): void {
  let leftBytes = lingerBytes;
  source.on("data", (bytes: Buffer) => {
    leftBytes -= bytes.length;
    if (leftBytes < 0) client.destroy();
  });
  source.resume();
  const timer = setTimeout(() => client.destroy(), lingerMs);
  client.once("close", () => clearTimeout(timer));
}
