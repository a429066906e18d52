import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { Transform } from "node:stream";

/** Passes HTTP on, but for the first requests that `isPicked` picks: their answers are thrown away with the connection, or a bit of their bodies turned. */
export interface FaultyProxy extends AsyncDisposable {
  readonly port: number;
  /** How many requests `isPicked` was true of. */
  picked(): number;
}

export async function startFaultyProxy(
  target: URL,
  isPicked: (method: string, path: string) => boolean,
  fault: "answer lost" | "bit turned",
  times = 1,
): Promise<FaultyProxy> {
  let count = 0;
  const server = createServer((asked, answer) => {
    const { method = "GET", url = "/", headers } = asked;
    const picked = isPicked(method, url);
    if (picked) count += 1;
    const isFaulty = picked && count <= times;
    // The caller's own Host: it has signed that.
    const onward = httpRequest({ host: target.hostname, port: target.port, method, path: url, headers }, (got) => {
      if (isFaulty && fault === "answer lost") got.resume().on("end", () => asked.socket.destroy());
      else {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      }
    });
    onward.on("error", () => asked.socket.destroy());
    if (isFaulty && fault === "bit turned") asked.pipe(bitTurner()).pipe(onward);
    else asked.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    picked: () => count,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function bitTurner(): Transform {
  let isDone = false;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (!isDone) chunk[0] = (chunk[0] ?? 0) ^ 1;
      isDone = true;
      done(null, chunk);
    },
  });
}
