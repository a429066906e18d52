import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ExecutorError } from "../model/failure.ts";
import type { Place } from "./host.ts";
import { connectTarget, endToEnd, type Target, targetOf } from "./http-request.ts";
import { dropRest, lastWord } from "./last-word.ts";
import type { OpenPassage, Passage } from "./passage.ts";
import { carry } from "./tunnel.ts";

export interface HttpFrontParts {
  readonly open: OpenPassage;
  /** Without a request. */
  readonly idleMs: number;
  readonly helloMs: number;
  /** Told of what is no clear request. */
  readonly onUnclear: (why: string) => void;
}

export interface HttpFront {
  /**
   * Serves a client: CONNECT, or requests with whole URLs, each judged. It is closed when it is over.
   * @param fixed where it believes to be connected to; then its requests name paths, and CONNECT is none.
   * @param signal aborts when the client is gone.
   */
  take(client: Duplex, fixed: Place | null, signal: AbortSignal): void;
}

/**
 * SAFETY: no byte of a request's or answer's framing is passed on. Both are read by node's strict parser and written anew, and every request
 * has a connection of its own: there is nothing a second reader could read in another way (docs/decisions/0050-egress.md).
 */
export function httpFront({ open, idleMs, helloMs, onUnclear }: HttpFrontParts): HttpFront {
  const clients = new WeakMap<Duplex, Client>();

  const server = createServer(
    { insecureHTTPParser: false, requireHostHeader: false, maxHeaderSize: maxHeadBytes, keepAliveTimeout: 0 },
    (request, response) => void answer(request, response).catch(() => request.socket.destroy()),
  );
  // The bound is on bytes. Headers beyond a count would be dropped silently, one that tells the body's length among them.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = 1000;
  server.on("connect", (request, client, head) => void connect(request, client, head).catch(() => client.destroy()));
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    clients.get(request.socket)?.end();
    refuse(response, 417, "Expect is not understood");
  });
  server.on("clientError", (error: NodeJS.ErrnoException, client) => {
    if (clients.get(client)?.isOver !== false) return;
    clients.get(client)?.end();
    if (error.code === "ECONNRESET") return void client.destroy();
    onUnclear("it is no valid HTTP");
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    lastWord(client, plainAnswer(status, "the request is no valid HTTP/1.1"));
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const client = clients.get(request.socket);
    if (client === undefined || client.busy >= maxPipelined) return void request.socket.destroy();
    // SAFETY: behind a request that was refused nothing counts: it may be the rest of that one, read in another way.
    if (client.isOver) return;
    client.begin(response);
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const target = targetOf(request, client.fixed);
    if (target.kind === "bad") {
      client.end();
      onUnclear(target.why);
      return refuse(response, target.status, target.why);
    }
    try {
      await forward(request, response, target, open);
    } catch (error) {
      client.end();
      if (response.headersSent || response.destroyed) request.socket.destroy();
      else refuse(response, ...statusAndText(error));
    }
  };

  const connect = async (request: IncomingMessage, stream: Duplex, head: Buffer): Promise<void> => {
    const client = clients.get(stream);
    if (client === undefined) return void stream.destroy();
    if (client.isOver) return void stream.resume();
    client.leave();
    const target = client.isFresh && client.fixed === null ? connectTarget(request) : lateConnect;
    if (target.kind === "bad") {
      onUnclear(target.why);
      return lastWord(stream, plainAnswer(target.status, target.why));
    }
    let passage: Passage;
    try {
      passage = await open(target.place, ["tls", "tcp"], client.signal);
    } catch (error) {
      return lastWord(stream, plainAnswer(...statusAndText(error)));
    }
    stream.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.length > 0) stream.unshift(head);
    await carry(stream, passage, helloMs, client.signal);
  };

  return {
    take(stream, fixed, signal) {
      clients.set(stream, clientOf(stream, fixed, idleMs, signal));
      server.emit("connection", stream);
    },
  };
}

/** The request line and all headers together, of requests and of answers. */
const maxHeadBytes = 16 * 1024;
/** Of one client, not yet answered. */
const maxPipelined = 8;
/** Interim answers before the last. */
const maxInterim = 8;

interface Client {
  readonly fixed: Place | null;
  readonly signal: AbortSignal;
  /** No request has come yet. */
  readonly isFresh: boolean;
  readonly busy: number;
  /** It has had, or is getting, its last answer. */
  readonly isOver: boolean;
  end(): void;
  begin(response: ServerResponse): void;
  /** It is looked after elsewhere from now on. */
  leave(): void;
}

function clientOf(stream: Duplex, fixed: Place | null, idleMs: number, signal: AbortSignal): Client {
  let [requests, busy, isOver] = [0, 0, false];
  let idle = setTimeout(() => stream.destroy(), idleMs);
  stream.once("close", () => clearTimeout(idle));
  return {
    fixed,
    signal,
    get isFresh() {
      return requests === 0;
    },
    get busy() {
      return busy;
    },
    get isOver() {
      return isOver;
    },
    end() {
      isOver = true;
    },
    begin(response) {
      requests += 1;
      busy += 1;
      clearTimeout(idle);
      response.once("close", () => {
        busy -= 1;
        if (busy === 0 && !stream.destroyed) idle = setTimeout(() => stream.destroy(), idleMs);
      });
    },
    leave: () => clearTimeout(idle),
  };
}

const lateConnect: Target = { kind: "bad", status: 400, why: "CONNECT must be the first request of its connection" };

/** Sends a request on over a connection of its own, and the answer back. */
async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { place, path }: Target & { readonly kind: "target" },
  open: OpenPassage,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client is gone")));
  const passage = await open(place, ["http"], gone.signal);
  try {
    const outgoing = httpRequest({
      createConnection: () => passage.stream,
      method: request.method ?? "GET",
      path,
      headers: {
        Host: hostHeader(passage.name, place.port),
        ...endToEnd(request.rawHeaders),
        ...framing(request),
        Connection: "close",
      },
      setHost: false,
      insecureHTTPParser: false,
      maxHeaderSize: maxHeadBytes,
    });
    outgoing.maxHeadersCount = 0;
    outgoing.on("error", () => undefined);
    // Node ends some of them without an error: one whose answer changes the protocol, for example.
    outgoing.once("close", () => gone.abort(new Error("it was closed before its answer")));
    let interim = 0;
    outgoing.on("information", () => {
      interim += 1;
      if (interim > maxInterim) passage.stream.destroy(new Error("the answer had too many interim ones before it"));
    });
    const answered = once(outgoing, "response", { signal: gone.signal });
    // Without a length nothing follows, whatever was read.
    if (hasBody(request)) request.pipe(outgoing);
    else outgoing.end();
    const [incoming] = (await answered) as [IncomingMessage];
    // All of them, and the last, may come in one piece.
    if (interim > maxInterim) throw new Error("too many interim answers");
    response.sendDate = false;
    response.writeHead(incoming.statusCode ?? 502, flat({ ...endToEnd(incoming.rawHeaders), ...length(incoming) }));
    await pipeline(incoming, (body: AsyncIterable<Buffer>) => whole(body, passage.stream), response);
  } finally {
    request.unpipe();
    passage.stream.destroy();
  }
}

/** A body that ends with its connection must not look whole when that was cut. */
async function* whole(body: AsyncIterable<Buffer>, stream: Duplex): AsyncGenerator<Buffer> {
  yield* body;
  if (stream.errored !== null) throw stream.errored;
}

const hostHeader = (name: string, port: number): string => (port === 80 ? name : `${name}:${port}`);

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;

function framing(request: IncomingMessage): Readonly<Record<string, string>> {
  return request.headers["transfer-encoding"] === undefined ? length(request) : { "Transfer-Encoding": "chunked" };
}

/** The length that a message tells, where that is how its body ends. */
function length({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const told = headers["content-length"];
  return told === undefined || headers["transfer-encoding"] !== undefined ? {} : { "Content-Length": told };
}

const flat = (headers: Readonly<Record<string, string | readonly string[]>>): string[] =>
  Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, value]));

function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent || response.destroyed) return;
  const body = `${text}\n`;
  response.writeHead(status, {
    ...{ ...plainText, "Content-Length": Buffer.byteLength(body) },
    ...{ "Proxy-Status": proxyStatus(status), Connection: "close" },
  });
  response.end(body);
  // Whoever read its body before: it would wait for room, and never read why.
  dropRest(response.req, response.req.socket);
}

/** RFC 9209: whose answer it is, and of what kind. */
function proxyStatus(status: number): string {
  if (status === 403) return "tool-executor; error=http_request_denied";
  return `tool-executor; error=${status < 500 || status === 505 ? "http_request_error" : "destination_unavailable"}`;
}

const plainText = { "Content-Type": "text/plain; charset=utf-8" };

const plainAnswer = (status: number, text: string): string =>
  [
    `HTTP/1.1 ${status} ${status === 403 ? "Forbidden" : "Refused"}`,
    `Content-Type: ${plainText["Content-Type"]}`,
    `Content-Length: ${Buffer.byteLength(text) + 1}`,
    `Proxy-Status: ${proxyStatus(status)}`,
    "Connection: close",
    ...["", `${text}\n`],
  ].join("\r\n");

/** What the task hears of a passage that did not open. */
function statusAndText(error: unknown): [status: number, text: string] {
  if (!(error instanceof ExecutorError)) return [502, "the host did not answer as HTTP says"];
  const text = error.hint === null ? error.message : `${error.message}\n${error.hint}`;
  return [error.code === "policy_denied" ? 403 : error.code === "quota" ? 503 : 502, text];
}
