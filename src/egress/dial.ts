import type { Duplex } from "node:stream";
import { deadline } from "../model/deadline.ts";
import { ExecutorError } from "../model/failure.ts";
import { judgeAddress } from "../model/judged-address.ts";
import { mayDial, placeText, type RangeException } from "./policy.ts";

/** Where a name leads, as addresses. The name ends without a dot; whatever is thrown counts as "not found". */
export type Resolve = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

/**
 * Connects to an address, never to a name; the stream is open and may be half closed. After the signal aborted it throws, with nothing left
 * open.
 */
export type Connect = (address: string, port: number, signal: AbortSignal) => Promise<Duplex>;

export interface DialParts {
  readonly resolve: Resolve;
  readonly connect: Connect;
  readonly exceptions: readonly RangeException[];
  /** For the name. */
  readonly resolveMs: number;
  /** For each address that is tried. */
  readonly connectMs: number;
}

export interface Dialled {
  readonly stream: Duplex;
  /** What was connected to: one of those that were judged. */
  readonly address: string;
}

/** Opens a connection to a name that a rule allows. */
export type Dial = (name: string, port: number, signal: AbortSignal) => Promise<Dialled>;

/**
 * The name is asked for once, every address is judged, and one of the judged is connected to. One that may not be dialled spoils the
 * others: who answers so for a name may answer otherwise at any moment.
 *
 * A dial throws ExecutorError: `policy_denied` for where a name leads, `internal` for what is not reached.
 */
export function dialer(parts: DialParts): Dial {
  return async (name, port, signal) => {
    const addresses = await judged(parts, name, port, signal);
    let last: unknown;
    for (const address of addresses.slice(0, maxTries)) {
      try {
        using limit = deadline(signal, parts.connectMs, () => new Error(`not connected within ${parts.connectMs} ms`));
        return { stream: await connected(parts.connect, address, port, limit.signal), address };
      } catch (cause) {
        signal.throwIfAborted();
        last = cause;
      }
    }
    throw notReached(name, port, last);
  };
}

/** The addresses of a name, all of them judged, each once. */
async function judged(
  { resolve, exceptions, resolveMs }: DialParts,
  name: string,
  port: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  let answer: readonly string[];
  try {
    using limit = deadline(signal, resolveMs, () => new Error(`no answer within ${resolveMs} ms`));
    answer = await orAborted(resolve(name, limit.signal), limit.signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new ExecutorError("internal", `${name} was not resolved: ${whyOf(cause)}`, { cause });
  }
  const addresses = [...new Set(answer)];
  if (addresses.length === 0) throw new ExecutorError("internal", `${name} has no address`);
  if (addresses.length > maxAddresses)
    throw new ExecutorError("policy_denied", `${name} has ${addresses.length} addresses, at most ${maxAddresses}`);
  const bad = addresses.find((address) => !mayDial(name, port, address, exceptions));
  if (bad !== undefined)
    // SAFETY: neither the address nor its kind goes to the task, which could map a network by them; the operator's record has both.
    throw new ExecutorError(
      "policy_denied",
      `denied ${placeText(name, port)}: it leads to an address where no task may go`,
      {
        cause: new Error(`${placeText(name, port)} is ${judgeAddress(bad)?.kind ?? "no address"}`),
        hint: "an operator may except a range of addresses for a host and port",
      },
    );
  return addresses;
}

/** How many of a name's addresses are connected to, one after the other. */
const maxTries = 3;
const maxAddresses = 64;

/** What a dialer that is late opens all the same is closed. */
async function connected(connect: Connect, address: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const opening = connect(address, port, signal);
  try {
    return await orAborted(opening, signal);
  } catch (error) {
    opening.then(
      (late) => late.on("error", () => undefined).destroy(),
      () => undefined,
    );
    throw error;
  }
}

/** Work that may not listen to its signal is left to itself. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const notReached = (name: string, port: number, cause: unknown): ExecutorError =>
  new ExecutorError("internal", `${placeText(name, port)} was not reached: ${whyOf(cause)}`, { cause });

const whyOf = (cause: unknown): string =>
  cause instanceof Error ? ("code" in cause ? String(cause.code) : cause.message) : String(cause);
