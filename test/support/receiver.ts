import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** One request that came, whole. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Somebody who is called back, on a port of the loopback. */
export interface Receiver extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** In the order they came. */
  readonly received: readonly Received[];
}

/** @param answer what it does with each request; 204 without more. */
export async function receiver(
  answer: (response: ServerResponse, count: number, request: IncomingMessage) => void = (response) =>
    void response.writeHead(204).end(),
): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      received.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
      answer(response, received.length, request);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://localhost:${port}`,
    received,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
