import type { Duplex } from "node:stream";
import { deadline } from "../model/deadline.ts";
import { quoted } from "../model/quoted.ts";
import { hostOf, isName } from "./host.ts";
import { lastWord } from "./last-word.ts";
import type { Passage } from "./passage.ts";
import { nextBytes } from "./read-bytes.ts";
import { helloReader } from "./sni.ts";

/**
 * Carries bytes between a client and its passage, until both have ended. Of a `tls` passage nothing goes out before the hello is whole and
 * names the passage's host. It resolves when nothing is in the way any more, and never rejects: what ends it early closes both, and the passage's
 * event tells of it.
 */
export async function carry(client: Duplex, passage: Passage, helloMs: number, signal: AbortSignal): Promise<void> {
  const { stream } = passage;
  try {
    if (passage.mode === "tls") stream.write(await judgedHello(client, passage, helloMs, signal));
  } catch (error) {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
    // It may be getting its last word.
    if (!client.writableEnded) client.destroy();
    return;
  }
  joined(client, stream);
}

/** Two of node's pipelines would make four errors, with their stacks, of each client that closes first, which most do: a quarter of all the work for it. */
function joined(client: Duplex, stream: Duplex): void {
  const goesWith = (one: Duplex, other: Duplex): void => {
    // One that was closed in the middle cuts the other off; one that came to its end leaves it to its own.
    one.once("close", () => {
      if (!one.readableEnded || !one.writableFinished) other.destroy();
    });
    if (one.destroyed) other.destroy();
  };
  goesWith(client, stream);
  goesWith(stream, client);
  client.pipe(stream);
  stream.pipe(client);
}

/** The bytes up to the hello's end, or a little more. */
async function judgedHello(client: Duplex, passage: Passage, helloMs: number, signal: AbortSignal): Promise<Buffer> {
  using limit = deadline(signal, helloMs, () => passage.deny(`no TLS hello came within ${helloMs} ms`));
  const reader = helloReader();
  for (;;) {
    const bytes = await nextBytes(client, limit.signal);
    if (bytes === null) throw passage.deny("the client ended before its TLS hello");
    const hello = reader.push(bytes);
    switch (hello.kind) {
      case "more":
        continue;
      case "refused":
        throw passage.deny(`denied ${passage.name}: ${hello.why}, and only TLS is allowed there`);
      case "whole": {
        if (isName(hostOf(hello.serverName), passage.name)) return reader.taken();
        lastWord(client, unrecognizedName);
        const named = quoted(hello.serverName, 280);
        throw passage.deny(`denied ${passage.name}: its TLS hello names ${named}`);
      }
    }
  }
}

/** A fatal alert (RFC 6066), which clients show as such. */
const unrecognizedName = Buffer.from([21, 3, 1, 0, 2, 2, 112]);
