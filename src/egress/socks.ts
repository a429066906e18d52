import type { Duplex } from "node:stream";
import { ExecutorError } from "../model/failure.ts";
import { type Host, hostOf, type Place } from "./host.ts";
import { lastWord } from "./last-word.ts";
import { exactBytes } from "./read-bytes.ts";

/** What a SOCKS client asked for. */
export type SocksAsked =
  | { readonly kind: "connect"; readonly place: Place }
  /** It has been answered. */
  | { readonly kind: "over"; readonly why: string };

/**
 * Reads a SOCKS5 client's greeting and request (RFC 1928), and answers the greeting: no authentication, CONNECT only. Names stay names; they
 * are resolved behind the policy. Nothing is read beyond the request.
 */
export async function socksAsked(client: Duplex, signal: AbortSignal): Promise<SocksAsked> {
  const over = (why: string): SocksAsked => ({ kind: "over", why });
  const hello = await exactBytes(client, 2, signal);
  if (hello === null || hello[0] !== version || hello[1] === 0) return over("it is no SOCKS5 client");
  const methods = await exactBytes(client, hello[1] ?? 0, signal);
  if (methods === null) return over("the client ended in its greeting");
  if (!methods.includes(noAuthentication)) {
    lastWord(client, Buffer.from([version, 0xff]));
    return over("the client wants to authenticate, and there is nothing to");
  }
  client.write(Buffer.from([version, noAuthentication]));

  const request = await exactBytes(client, 4, signal);
  if (request === null || request[0] !== version || request[2] !== 0) return over("the request is no SOCKS5");
  const [, command, , type] = request;
  const host = await hostAsked(client, type ?? 0, signal);
  if (host === null) {
    socksAnswer(client, "no_such_type");
    return over("the request names its host in no known way");
  }
  const port = (await exactBytes(client, 2, signal))?.readUInt16BE(0);
  if (port === undefined) return over("the client ended in its request");
  if (command !== connectCommand) {
    socksAnswer(client, "no_such_command");
    return over("only CONNECT is there: no BIND, no UDP");
  }
  if (port === 0) {
    socksAnswer(client, "denied");
    return over("port 0 is none");
  }
  return { kind: "connect", place: { host, port } };
}

/** Answers a request; anything but `open` ends the connection. */
export function socksAnswer(client: Duplex, answer: keyof typeof replies): void {
  // The bound address is nobody's business.
  const bytes = Buffer.from([version, replies[answer], 0, 1, 0, 0, 0, 0, 0, 0]);
  if (answer === "open") client.write(bytes);
  else lastWord(client, bytes);
}

/** How a passage that was not opened is told. */
export function socksRefusal(error: unknown): keyof typeof replies {
  const code = error instanceof ExecutorError ? error.code : "internal";
  return code === "policy_denied" ? "denied" : code === "quota" ? "failed" : "not_reached";
}

const replies = { open: 0, failed: 1, denied: 2, not_reached: 4, no_such_command: 7, no_such_type: 8 } as const;

const version = 5;
const noAuthentication = 0;
const connectCommand = 1;

async function hostAsked(client: Duplex, type: number, signal: AbortSignal): Promise<Host | null> {
  switch (type) {
    case 1: {
      const bytes = await exactBytes(client, 4, signal);
      return bytes === null ? null : hostOf(bytes.join("."));
    }
    case 3: {
      const length = (await exactBytes(client, 1, signal))?.[0] ?? 0;
      const bytes = length === 0 ? null : await exactBytes(client, length, signal);
      // Other bytes than ASCII have no meaning there: as Latin-1 they are refused, or another name.
      if (bytes === null) return null;
      return bytes.some((byte) => byte > 0x7e)
        ? { kind: "refused", why: "is not ASCII" }
        : hostOf(bytes.toString("latin1"));
    }
    case 4: {
      const bytes = await exactBytes(client, 16, signal);
      if (bytes === null) return null;
      const words = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
      return hostOf(`[${words.join(":")}]`);
    }
    default:
      return null;
  }
}
