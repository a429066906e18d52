import { AsyncLocalStorage } from "node:async_hooks";
import http from "node:http";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "minio";
import { type S3Address, s3AddressText } from "./s3-address.ts";
import { mayComeBack, mayPass, s3Failure } from "./s3-failure.ts";

/** How long nothing may be heard of a request, and for how long one that failed in passing is made again. */
export interface S3Bounds {
  readonly stallMs: number;
  readonly retryMs: number;
  /** The same for what brings an object in: of a task's files there is no other copy. */
  readonly putRetryMs: number;
}

/** The client of one bucket, with signals, bounds and failures that it does not have by itself. */
export interface S3Calls extends AsyncDisposable {
  /** Whether the signature of a request holds the sha256 of its body. */
  readonly signsPayload: boolean;
  /**
   * One request. What it answers with may still be read afterwards, as long as `signal` does not abort and something is heard.
   * @param what for messages, such as `write KEY`.
   * @throws ExecutorError internal, saying why; the signal's reason when it aborts; a failure that `keep` wants as it is.
   */
  call<T>(
    what: string,
    request: (client: Client, bucket: string) => Promise<T>,
    signal: AbortSignal,
    keep?: (cause: unknown) => boolean,
  ): Promise<T>;
  /** The same for a request that is part of bringing an object in. */
  put: S3Calls["call"];
  /** A failure that came while an answer was read. */
  failure(what: string, cause: unknown): unknown;
}

const retryDelayMs = 50;
const maxRetryDelayMs = 2_000;

export function s3Calls(address: S3Address, { stallMs, retryMs, putRetryMs }: S3Bounds): S3Calls {
  const { endpoint, bucket, region, accessKey, secretKey } = address;
  const where = s3AddressText(address);
  const library = endpoint.tls ? https : http;
  const agent = new library.Agent({ keepAlive: true, maxSockets: 64 });
  // The client takes no signals: the one of the call that makes the request is found here.
  const signals = new AsyncLocalStorage<AbortSignal>();
  const client = new Client({
    ...{ endPoint: endpoint.host, port: endpoint.port, useSSL: endpoint.tls, region, accessKey, secretKey },
    pathStyle: true,
    transportAgent: agent,
    transport: {
      request(options: http.RequestOptions, onAnswer: (answer: http.IncomingMessage) => void) {
        const signal = signals.getStore();
        const request = library.request(signal === undefined ? options : { ...options, signal }, onAnswer);
        request.setTimeout(stallMs, () => request.destroy(stalled(stallMs)));
        return request;
      },
    } as typeof http,
    // Its own would be told on our standard error.
    retryOptions: { disableRetry: true },
  });

  const call = async <T>(
    what: string,
    request: (client: Client, bucket: string) => Promise<T>,
    signal: AbortSignal,
    keep: (cause: unknown) => boolean,
    again: { readonly boundMs: number; readonly after: (cause: unknown) => boolean },
  ): Promise<T> => {
    const giveUpAt = performance.now() + again.boundMs;
    for (let delayMs = retryDelayMs; ; delayMs = Math.min(delayMs * 2, maxRetryDelayMs)) {
      signal.throwIfAborted();
      try {
        return await signals.run(signal, () => request(client, bucket));
      } catch (cause) {
        signal.throwIfAborted();
        if (keep(cause)) throw cause;
        if (!again.after(cause) || performance.now() + delayMs > giveUpAt) throw s3Failure(what, where, cause);
      }
      await sleep(delayMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  };

  return {
    signsPayload: !endpoint.tls,
    call: (what, request, signal, keep = () => false) =>
      call(what, request, signal, keep, { boundMs: retryMs, after: mayPass }),
    put: (what, request, signal, keep = () => false) =>
      call(what, request, signal, keep, { boundMs: putRetryMs, after: mayComeBack }),
    failure: (what, cause) => s3Failure(what, where, cause),
    async [Symbol.asyncDispose]() {
      agent.destroy();
    },
  };
}

const stalled = (ms: number): Error => Object.assign(new Error(`nothing heard for ${ms} ms`), { code: "STALLED" });
