import type { Duplex } from "node:stream";

/**
 * Ends a client with these bytes. What it still writes is dropped for `lingerMs`, or until it ends too: a reset would take the last word
 * with it.
 */
export function lastWord(client: Duplex, bytes: string | Uint8Array, lingerMs = 2000): void {
  if (client.destroyed) return;
  client.end(bytes);
  client.resume();
  const timer = setTimeout(() => client.destroy(), lingerMs);
  client.once("close", () => clearTimeout(timer));
}
