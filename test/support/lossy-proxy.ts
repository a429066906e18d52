import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";

/** Passes HTTP on; of the first request that `isLost` picks, the answer comes and is thrown away with its connection. */
export interface LossyProxy extends AsyncDisposable {
  readonly port: number;
  /** How many requests `isLost` was true of. */
  lost(): number;
}

export async function startLossyProxy(
  target: URL,
  isLost: (method: string, path: string) => boolean,
): Promise<LossyProxy> {
  let count = 0;
  const server = createServer((asked, answer) => {
    const { method = "GET", url = "/", headers } = asked;
    const picked = isLost(method, url);
    if (picked) count += 1;
    const loses = picked && count === 1;
    // The caller's own Host: it has signed that.
    const onward = httpRequest({ host: target.hostname, port: target.port, method, path: url, headers }, (got) => {
      if (loses) got.resume().on("end", () => asked.socket.destroy());
      else {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      }
    });
    onward.on("error", () => asked.socket.destroy());
    asked.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    lost: () => count,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
