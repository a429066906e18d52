import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { HttpProblem, problemOf, problemType } from "./problem.ts";

/** The request line and all headers together. */
const maxHeaderBytes = 16 * 1024;
/** From the connection, or the last answer, to the end of the headers. */
const headersMs = 10_000;
/** To the end of the body: an input file may be long. */
const requestMs = 600_000;
const idleMs = 15_000;
/** From the connection to the end of what TLS has to settle first. */
const handshakeMs = 10_000;
/** For a peer that writes on when it has been answered. */
const lingerMs = 5_000;

/** In PEM. */
export interface ServerTls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * A server with bounds on everything a peer may do before a request is one. What is no HTTP is answered with a problem and closed.
 * @param maxConnections more are closed as they come.
 * @param tls null: plain HTTP.
 * @throws Error of the TLS library, for a certificate or key that it does not take.
 */
export function nodeServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  maxConnections: number,
  tls: ServerTls | null = null,
): Server {
  const options = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: 1000,
    keepAlive: true,
    noDelay: true,
    insecureHTTPParser: false,
    requireHostHeader: true,
  };
  // What the two differ in, their sockets, nobody here looks at.
  const server: Server =
    tls === null
      ? createServer(options, answer)
      : (createTlsServer({ ...options, ...tls, handshakeTimeout: handshakeMs }, answer) as unknown as Server);
  server.maxConnections = maxConnections;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuse(error, socket));
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    const problem = problemOf(
      new HttpProblem("expectation_failed", "Expect is not understood; allowed: 100-continue"),
      false,
    );
    response.writeHead(problem.status, { "content-type": problemType, connection: "close" });
    response.end(JSON.stringify(problem));
  });
  return server;
}

/**
 * For an answer that comes before its request is whole. A peer that is still writing would meet a reset, and with it lose the answer:
 * so the answer is sent and what comes is dropped, until the peer ends or `lingerMs` are over.
 */
export function lingerAtEnd(socket: Socket): void {
  // What Node calls behind the last answer of a connection.
  socket.destroySoon = () => {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(timer));
  };
}

/** Closes at once what waits, and what is under way after `graceMs`. */
export async function closeServer(server: Server, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const problem = problemOf(clientProblem(error.code), false);
  const body = JSON.stringify(problem);
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${problem.title}`,
      `Content-Type: ${problemType}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      "Connection: close",
      "",
      body,
    ].join("\r\n"),
    // Whoever goes on writing is not listened to.
    () => socket.destroy(),
  );
}

function clientProblem(code: string | undefined): HttpProblem {
  if (code === "HPE_HEADER_OVERFLOW")
    return new HttpProblem(
      "header_too_large",
      `the headers are longer than ${maxHeaderBytes} bytes, the most that is taken`,
    );
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new HttpProblem("timeout", "the request did not come to its end in time");
  return new HttpProblem("bad_request", "the request is no valid HTTP/1.1");
}
