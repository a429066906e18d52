import { Resolver } from "node:dns/promises";
import { connect as openSocket } from "node:net";
import type { Connect, Resolve } from "../../egress/dial.ts";

/** Of one query to one server; the dialer's own bound comes on top. */
const queryMs = 2_000;
const queryTries = 2;

/**
 * Asks DNS itself, for A and AAAA: neither the hosts file nor search domains have a say.
 * @param servers as `ADDRESS[:PORT]`; none: this machine's.
 */
export function dnsResolve(servers: readonly string[]): Resolve {
  const resolver = new Resolver({ timeout: queryMs, tries: queryTries });
  if (servers.length > 0) resolver.setServers(servers);
  return async (name) => {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    const failed = answers.find((answer) => answer.status === "rejected" && !isNoAnswer(answer.reason));
    if (addresses.length === 0 && failed?.status === "rejected") throw failed.reason;
    return addresses;
  };
}

/** There is none, which is an answer too. */
const isNoAnswer = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ENODATA" || error.code === "ENOTFOUND");

/** TCP, to an address. */
export const tcpConnect: Connect = async (address, port, signal) => {
  signal.throwIfAborted();
  const socket = openSocket({ host: address, port, allowHalfOpen: true, noDelay: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  socket.once("connect", resolve);
  socket.once("error", reject);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.on("error", () => undefined).destroy();
    throw error;
  } finally {
    socket.off("error", reject);
    signal.removeEventListener("abort", onAbort);
  }
};
