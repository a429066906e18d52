import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { lastWord } from "../egress/last-word.ts";
import { deadline } from "../model/deadline.ts";
import { ExecutorError, reasonTable } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import type { JsonValue } from "../model/task.ts";
import { parseJson } from "../schema/parse-json.ts";

/**
 * What the host does for a task that asks for it. The body comes from the sandbox: nothing in it is to be believed, and whose task it is, the
 * context says.
 * @throws ExecutorError validation, for what the task may hear; of anything else it hears only that there is no answer.
 */
export type HostService = (body: JsonValue, context: HostCallContext) => Promise<JsonValue>;

export interface HostCallContext {
  readonly tenantId: string;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** By the name that a tool gives in `calls`. */
export type HostServices = ReadonlyMap<string, HostService>;

export interface HostCallsContext extends HostCallContext {
  /** Hears of what the task is not told: the operator's. */
  readonly onFailure: (name: string, error: unknown) => void;
}

/** Of one task. */
export interface HostCallCaps {
  readonly maxConnections: number;
  /** At once, on all connections. */
  readonly maxCalls: number;
  /** Over its whole time: an answer may cost the host more than the question costs the task. */
  readonly maxCallsInAll: number;
  /** From the headers of a request to the end of its answer. */
  readonly callMs: number;
  /** A connection without a request. */
  readonly idleMs: number;
}

export const defaultHostCallCaps: HostCallCaps = {
  maxConnections: 16,
  maxCalls: 8,
  maxCallsInAll: 200,
  callMs: 30_000,
  idleMs: 15_000,
};

const maxHeaderBytes = 64 * 1024;
const maxBodyBytes = 1024 * 1024;

/** The host's ear for one task. After dispose every connection is closed, and none is served. */
export interface HostCalls extends Disposable {
  /** Serves one connection of the task's until it is closed, which it is when this resolves. It never rejects. */
  serve(connection: Duplex): Promise<void>;
}

/** The services that a tool may call. @throws Error for a name that there is none of: the tool's author's slip. */
export function servicesFor(calls: readonly string[], services: HostServices): HostServices {
  return new Map(
    calls.map((name) => {
      const service = services.get(name);
      if (service === undefined) throw new Error(`a tool calls ${name}, which is no service of the host`);
      return [name, service] as const;
    }),
  );
}

/**
 * Answers a task's calls: HTTP/1.1, `POST /NAME` with JSON, 200 with JSON, else `{"error": {code, message, hint}}`.
 * @param context when its signal aborts, all is closed as by dispose.
 */
export function hostCalls(
  services: HostServices,
  { tenantId, signal, onFailure }: HostCallsContext,
  caps: HostCallCaps = defaultHostCallCaps,
): HostCalls {
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const connections = new Map<Duplex, Connection>();
  let [callCount, callsInAll] = [0, 0];

  const server = createServer(
    { insecureHTTPParser: false, requireHostHeader: false, maxHeaderSize: maxHeaderBytes, keepAliveTimeout: 0 },
    (request, response) => {
      const connection = connections.get(request.socket);
      if (connection === undefined) return void request.socket.destroy();
      request.on("error", () => undefined);
      response.on("error", () => undefined);
      const gone = connection.begin(response);
      callCount += 1;
      callsInAll += 1;
      const onOver = (): void => {
        callCount -= 1;
      };
      gone.addEventListener("abort", onOver, { once: true });
      void answer(request, response, gone).catch(() => request.socket.destroy());
    },
  );
  // The bound is on bytes: headers beyond a count would be dropped silently.
  server.maxHeadersCount = 0;
  server.on("clientError", (error: NodeJS.ErrnoException, connection) => {
    if (error.code === "ECONNRESET") return void connection.destroy();
    const isLong = error.code === "HPE_HEADER_OVERFLOW";
    lastWord(
      connection,
      rawAnswer(
        isLong
          ? refusal(431, "header_too_large", `the headers are longer than ${maxHeaderBytes} bytes`)
          : refusal(400, "bad_request", "the request is no valid HTTP/1.1"),
      ),
    );
  });

  const answer = async (request: IncomingMessage, response: ServerResponse, gone: AbortSignal): Promise<void> => {
    const name = request.url?.slice(1) ?? "";
    try {
      using bound = deadline(gone, caps.callMs, () => late(caps.callMs));
      const service = wanted(request, name, callCount);
      const body = parseJson(await bodyOf(request, bound.signal), bodySource);
      const value = await unlessAborted(service(body, { tenantId, signal: bound.signal }), bound.signal);
      send(response, 200, value, false);
    } catch (error) {
      // The task is over, or has closed the connection.
      if (gone.aborted) return;
      const { status, ...problem } = error instanceof Refusal ? error.problem : problemOf(name, error, onFailure);
      send(response, status, { error: problem }, !request.complete);
    }
  };

  const wanted = ({ method, url = "" }: IncomingMessage, name: string, calls: number): HostService => {
    if (callsInAll > caps.maxCallsInAll)
      throw new Refusal(refusal(429, "quota", `the task has had its ${caps.maxCallsInAll} calls`));
    if (calls > caps.maxCalls)
      throw new Refusal(refusal(429, "quota", `the task has ${calls - 1} calls under way, at most ${caps.maxCalls}`));
    const service = url.startsWith("/") ? services.get(name) : undefined;
    if (service === undefined) {
      const there = services.size === 0 ? "none" : [...services.keys()].map((each) => `/${each}`).join(", ");
      throw new Refusal(refusal(404, "not_found", `nothing answers at ${quoted(url)}; there is ${there}`));
    }
    if (method !== "POST")
      throw new Refusal(
        refusal(405, "method_not_allowed", `${quoted(method ?? "")} /${name} is not answered; POST is`),
      );
    return service;
  };

  return {
    async serve(connection) {
      // What breaks a connection closes it; there is nobody to tell.
      connection.on("error", () => undefined);
      const closed = new Promise<void>((resolve) => connection.once("close", resolve));
      if (ending.signal.aborted || connection.destroyed || connections.size >= caps.maxConnections) {
        connection.destroy();
        return;
      }
      const end = (): void => void connection.destroy();
      ending.signal.addEventListener("abort", end, { once: true });
      connections.set(connection, connectionOf(connection, caps.idleMs));
      server.emit("connection", connection);
      await closed;
      connections.delete(connection);
      ending.signal.removeEventListener("abort", end);
    },
    [Symbol.dispose]() {
      signal.removeEventListener("abort", onAbort);
      ending.abort(new Error("the task is over"));
    },
  };
}

interface Connection {
  /** A request has come. The signal aborts when it is over: its answer was sent, or cannot be any more. */
  begin(response: ServerResponse): AbortSignal;
}

function connectionOf(connection: Duplex, idleMs: number): Connection {
  const arm = (): NodeJS.Timeout => setTimeout(() => connection.destroy(), idleMs);
  let idle = arm();
  const open = new Set<AbortController>();
  const end = (call: AbortController): void => {
    if (!open.delete(call)) return;
    call.abort(new Error("nobody waits for the answer"));
    if (open.size === 0 && !connection.destroyed) idle = arm();
  };
  connection.once("close", () => {
    clearTimeout(idle);
    // An answer whose turn had not come never hears that its connection is gone.
    for (const call of open) end(call);
  });
  return {
    begin(response) {
      clearTimeout(idle);
      const call = new AbortController();
      open.add(call);
      response.once("close", () => end(call));
      return call.signal;
    },
  };
}

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

const refusal = (status: number, code: string, message: string): Problem => ({ status, code, message, hint: null });

/** What is wrong with the call, before anybody was asked. */
class Refusal extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

const late = (ms: number): Refusal => new Refusal(refusal(504, "timeout", `no answer within ${ms} ms`));

const bodySource = {
  subject: "request",
  code: "validation",
  caps: { maxBytes: maxBodyBytes, maxDepth: 32, maxValues: 10_000 },
  exactNumbers: true,
} as const;

async function bodyOf(request: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  const tooLarge = new Refusal(refusal(413, "body_too_large", `the body is longer than ${maxBodyBytes} bytes`));
  if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) throw tooLarge;
  const pieces: Buffer[] = [];
  let bytes = 0;
  const whole = Promise.withResolvers<Buffer>();
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > maxBodyBytes) whole.reject(tooLarge);
    else pieces.push(piece);
  });
  request.once("end", () => whole.resolve(Buffer.concat(pieces)));
  return await unlessAborted(whole.promise, signal);
}

/** SAFETY: of what we stand on, and of our bugs, the task hears nothing: not an address, not a name. */
function problemOf(name: string, error: unknown, onFailure: HostCallsContext["onFailure"]): Problem {
  if (error instanceof ExecutorError && reasonTable[error.code].httpStatus === 422)
    return { status: 422, code: error.code, message: error.message, hint: error.hint };
  onFailure(name, error);
  const isAway = error instanceof ExecutorError && error.isAway;
  return {
    status: isAway ? 503 : 500,
    code: "internal",
    message: `${name} cannot answer now`,
    hint: isAway ? "the same call may be answered later" : "the operator's log says why",
  };
}

function send(response: ServerResponse, status: number, value: JsonValue, isLast: boolean): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": body.length,
    ...(isLast && { Connection: "close" }),
  });
  response.end(body);
}

function rawAnswer({ status, ...problem }: Problem): string {
  const body = JSON.stringify({ error: problem });
  return [
    `HTTP/1.1 ${status} Refused`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  work.catch(() => undefined);
  aborted.promise.catch(() => undefined);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
