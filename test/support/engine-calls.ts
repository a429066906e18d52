import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A way to the engine that writes down what it is asked. */
export interface EngineCalls extends AsyncDisposable {
  readonly socketPath: string;
  /** Method and path of every call so far, without the API's version, ids and queries. */
  calls(): readonly string[];
}

const requestLine = /(GET|PUT|HEAD|POST|DELETE|PATCH) (\/[^ ?]*)(?:\?[^ ]*)? HTTP\/1\.1\r\n/g;

export async function engineCalls(enginePath: string): Promise<EngineCalls> {
  const folder = await mkdtemp(join(tmpdir(), "engine-calls-"));
  const socketPath = join(folder, "engine.sock");
  const told: string[] = [];
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: enginePath, allowHalfOpen: true });
    for (const socket of [client, engine]) {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => {
        client.destroy();
        engine.destroy();
      });
    }
    client.on("data", (chunk: Buffer) => {
      // The client writes a request's head in one go; behind an attach comes what is no HTTP, which then has no such line.
      for (const [, method = "", path = ""] of chunk.toString("latin1").matchAll(requestLine))
        told.push(`${method} ${path.replace(/^\/v[\d.]+/, "").replace(/[0-9a-f]{64}|sha256:[0-9a-f]{64}/g, "ID")}`);
    });
    client.pipe(engine);
    engine.pipe(client);
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    calls: () => told,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
