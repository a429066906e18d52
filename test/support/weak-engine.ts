import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import type Dockerode from "dockerode";

/** The engine behind a socket of its own, which makes every container otherwise than it was asked to. */
export interface WeakEngine extends AsyncDisposable {
  readonly socketPath: string;
}

/** @param change what stands in the place of ours in the `HostConfig` of each container. */
export async function weakEngine(
  enginePath: string,
  change: (ours: Dockerode.HostConfig) => Dockerode.HostConfig,
): Promise<WeakEngine> {
  const folder = await mkdtemp(join(tmpdir(), "weak-engine-"));
  const socketPath = join(folder, "engine.sock");
  // The client says the whole request in the address too.
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, async (asked, answer) => {
    let body = await buffer(asked);
    if (asked.method === "POST" && asked.url?.includes("/containers/create")) {
      const ours = JSON.parse(body.toString());
      const changed = change(ours.HostConfig);
      // While it is disabled, another network is none.
      const NetworkDisabled = changed.NetworkMode === undefined && ours.NetworkDisabled;
      body = Buffer.from(JSON.stringify({ ...ours, NetworkDisabled, HostConfig: { ...ours.HostConfig, ...changed } }));
    }
    const { "transfer-encoding": _, ...headers } = asked.headers;
    const forwarded = request(
      {
        socketPath: enginePath,
        method: asked.method,
        path: asked.url,
        headers: { ...headers, "content-length": body.length },
      },
      (answered) => {
        answer.writeHead(answered.statusCode ?? 502, answered.headers);
        answered.pipe(answer);
      },
    );
    forwarded.on("error", () => answer.destroy());
    answer.on("close", () => forwarded.destroy());
    forwarded.end(body);
  });
  const attached = new Set<Duplex>();
  // An attach: what follows the headers is no HTTP, and the server no longer counts it among its connections.
  server.on("upgrade", (asked, client, head) => {
    attached.add(client);
    client.once("close", () => attached.delete(client));
    const engine = connect(enginePath);
    const lines = asked.rawHeaders.flatMap((name, at) =>
      at % 2 === 0 ? [`${name}: ${asked.rawHeaders[at + 1]}`] : [],
    );
    engine.write([`${asked.method} ${asked.url} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
    engine.write(head);
    engine.pipe(client).pipe(engine);
    for (const [one, other] of [
      [engine, client],
      [client, engine],
    ] as const)
      one.on("error", () => other.destroy());
    client.once("close", () => engine.destroy());
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      for (const client of attached) client.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
