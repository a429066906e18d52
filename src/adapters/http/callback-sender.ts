import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { type CallbackHost, callbackHostText, judgeCallbackUrl, mayDial } from "../../model/callback-hosts.ts";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { CallbackSender } from "../../ports/callback-sender.ts";

/** Where a name leads: what a resolver answers. */
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

/** From the first look at the name to the answer's status. */
const defaultWithinMs = 10_000;

/** Calls back over HTTP, to these hosts only. */
export function callbackSender(
  hosts: readonly CallbackHost[],
  resolve: Resolve = (host) => lookup(host, { all: true, order: "verbatim" }),
  withinMs = defaultWithinMs,
): CallbackSender {
  return {
    async send(text, headers, body, signal) {
      // Settings may have changed since the task was taken in.
      const verdict = judgeCallbackUrl(text, hosts);
      if (verdict.kind === "refused") throw new ExecutorError("policy_denied", verdict.what);
      const { url, host } = verdict;
      const place = callbackHostText(host);
      using limit = deadline(signal, withinMs, new Error(`no answer within ${withinMs} ms`));
      let status: number;
      try {
        const addresses = await raced(dialled(host, place, resolve), limit.signal);
        status = await statusOf(url, headers, body, addresses, limit.signal);
      } catch (cause) {
        signal.throwIfAborted();
        if (cause instanceof ExecutorError) throw cause;
        throw new ExecutorError("internal", `${place} was not reached: ${whyOf(cause, limit.signal)}`, { cause });
      }
      if (status < 200 || status > 299)
        throw new ExecutorError("internal", `${place} answered with status ${status}, not 2xx`);
    },
  };
}

type Addresses = Awaited<ReturnType<Resolve>>;

/** The addresses to dial, all of them judged: one that may not be dialled spoils the others. */
async function dialled(host: CallbackHost, place: string, resolve: Resolve): Promise<Addresses> {
  const bare = host.host.replace(/^\[|\]$/g, "");
  const addresses = isIP(bare) === 0 ? await resolve(bare) : [{ address: bare, family: isIP(bare) }];
  const bad = addresses.find(({ address }) => !mayDial(host, address));
  if (bad !== undefined)
    throw new ExecutorError("policy_denied", `${place} is ${bad.address}, where no callbacks may go`, {
      hint: "an operator may allow a range for a host: HOST=ADDRESS/LENGTH in TOOL_EXECUTOR_CALLBACK_HOSTS",
    });
  return addresses;
}

async function statusOf(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  addresses: Addresses,
  signal: AbortSignal,
): Promise<number> {
  // SAFETY: what is dialled is what was judged; the name is not asked again (docs/security.md#callbacks).
  const pinned: LookupFunction = (_host, { all }, done) => {
    const [first] = addresses;
    if (first === undefined) done(new Error("the name has no address"), "");
    else if (all === true) done(null, [...addresses]);
    else done(null, first.address, first.family);
  };
  const options = {
    method: "POST",
    headers: { ...headers, "content-type": "application/json", "content-length": String(body.length) },
    agent: false,
    lookup: pinned,
    maxHeaderSize: 16 * 1024,
    signal,
  } as const;
  const request = url.protocol === "https:" ? httpsRequest(url, options) : httpRequest(url, options);
  // A receiver may answer and close before it has read all.
  request.on("error", () => undefined);
  const answered = once(request, "response", { signal });
  request.end(body);
  const [answer] = (await answered) as [IncomingMessage];
  answer.on("error", () => undefined);
  answer.destroy();
  return answer.statusCode ?? 0;
}

/** A resolver cannot be told to stop: it is left to itself. */
async function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function whyOf(cause: unknown, limit: AbortSignal): string {
  if (limit.aborted && limit.reason instanceof Error) return limit.reason.message;
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
}
