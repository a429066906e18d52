import type { Duplex } from "node:stream";
import { deadline } from "../model/deadline.ts";
import type { Dial } from "./dial.ts";
import type { Place } from "./host.ts";
import { httpFront } from "./http-front.ts";
import { refusalPace } from "./pace.ts";
import { type EgressEvent, type PassageCaps, passages } from "./passage.ts";
import { decide, type Rule } from "./policy.ts";
import { type SocksAsked, socksAnswer, socksAsked, socksRefusal } from "./socks.ts";
import { carry } from "./tunnel.ts";

/** Of one task. */
export interface EgressCaps extends PassageCaps {
  /** Of all connections together, both ways. */
  readonly maxBytes: number;
  /** For what comes before the first byte that is carried: a SOCKS greeting, a TLS hello. */
  readonly helloMs: number;
}

export const defaultEgressCaps: EgressCaps = {
  maxConnections: 64,
  maxBytes: 1024 * 1024 * 1024,
  idleMs: 60_000,
  totalMs: 3_600_000,
  helloMs: 10_000,
};

export interface EgressProxyParts {
  /** Without any, everything is denied. */
  readonly rules: readonly Rule[];
  readonly dial: Dial;
  readonly caps: EgressCaps;
  /** Every decision, once, when what it was about is over. What cannot be recorded may not happen: if it throws, this way out is closed. */
  readonly onEvent: (event: EgressEvent) => void;
  readonly nowMs: () => number;
}

/** `http`: CONNECT and requests with whole URLs. `socks`: SOCKS5 with names. A place: it leads there and nowhere else, by a `tcp` rule. */
export type Front = "http" | "socks" | Place;

/** The one way out of one task. After dispose every connection is closed, and none opens. */
export interface EgressProxy extends Disposable {
  /**
   * Serves one connection of the task's until it is closed, which it is when this resolves. It never rejects: whatever goes wrong closes
   * the connection.
   */
  serve(client: Duplex, front: Front): Promise<void>;
}

export function egressProxy({ rules, dial, caps, nowMs, ...parts }: EgressProxyParts): EgressProxy {
  const ending = new AbortController();
  const pace = refusalPace(nowMs);
  const onEvent = (event: EgressEvent): void => {
    if (event.verdict !== "allowed") pace.refused();
    try {
      parts.onEvent(event);
    } catch (error) {
      ending.abort(error);
    }
  };
  const budget = { maxBytes: caps.maxBytes, spentBytes: 0 };
  const open = passages({ rules, dial, caps, budget, onEvent, nowMs });
  const onUnclear = (why: string): void =>
    onEvent({
      ...{ host: "", port: null, verdict: "denied", why, hint: null, rule: null, address: null },
      ...{ bytesIn: 0, bytesOut: 0, durationMs: 0 },
    });
  const http = httpFront({ open, idleMs: caps.idleMs, helloMs: caps.helloMs, onUnclear });
  let clientCount = 0;

  const socks = async (client: Duplex, signal: AbortSignal): Promise<void> => {
    const asked = await askedInTime(client, caps.helloMs, signal);
    if (asked.kind === "over") {
      onUnclear(asked.why);
      if (!client.writableEnded) client.destroy();
      return;
    }
    const { place } = asked;
    const decision = decide(rules, place.host, place.port);
    if (decision.kind === "allowed" && decision.rule.mode === "http") {
      // Each request opens its own passage, or none does.
      socksAnswer(client, "open");
      http.take(client, place, signal);
      return;
    }
    const passage = await open(place, ["tls", "tcp"], signal).catch((error: unknown) => {
      socksAnswer(client, socksRefusal(error));
      return null;
    });
    if (passage === null) return;
    socksAnswer(client, "open");
    await carry(client, passage, caps.helloMs, signal);
  };

  const begin = async (client: Duplex, front: Front, signal: AbortSignal): Promise<void> => {
    if (front === "http") return http.take(client, null, signal);
    if (front === "socks") return await socks(client, signal);
    await carry(client, await open(front, ["tcp"], signal), caps.helloMs, signal);
  };

  return {
    async serve(client, front) {
      // What breaks a client closes it; there is nobody to tell.
      client.on("error", () => undefined);
      // Two pipelines, the parser and we listen to one stream, which is no leak.
      client.setMaxListeners(32);
      const closed = new Promise<void>((resolve) => client.once("close", resolve));
      const gone = new AbortController();
      client.once("close", () => gone.abort(clientGone));
      await pace.turn(gone.signal);
      if (ending.signal.aborted || client.destroyed || clientCount >= caps.maxConnections) {
        if (!client.destroyed && !ending.signal.aborted)
          onUnclear(`the task has ${clientCount} connections open already`);
        client.destroy();
        return;
      }
      const end = (): void => void client.destroy();
      ending.signal.addEventListener("abort", end, { once: true });
      clientCount += 1;
      try {
        // SAFETY: fail closed. Whatever is thrown, and by whomever, leaves a client without a connection.
        await begin(client, front, gone.signal).catch(() => client.destroy());
        await closed;
      } finally {
        clientCount -= 1;
        ending.signal.removeEventListener("abort", end);
      }
    },
    [Symbol.dispose]: () => ending.abort(new Error("the task is over")),
  };
}

/** One for all: to write down the stack of each took longer than to close it. */
const clientGone = new Error("the client is gone");

async function askedInTime(client: Duplex, helloMs: number, signal: AbortSignal): Promise<SocksAsked> {
  using limit = deadline(signal, helloMs, () => new Error(`no SOCKS request within ${helloMs} ms`));
  return await socksAsked(client, limit.signal);
}
