import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { apiKeysFolder } from "../../src/adapters/disk/api-keys-folder.ts";
import { type Door, type DoorOptions, openDoor } from "../../src/adapters/http/door.ts";
import { metrics } from "../../src/observe/metrics.ts";
import type { ApiKeys } from "../../src/ports/api-keys.ts";
import type { ServerFront } from "../../src/ports/front.ts";

/** The HTTP API over a front that a test makes, on any free port of the loopback. */
export interface BareDoor extends AsyncDisposable {
  readonly door: Door;
  readonly url: string;
  readonly keys: ApiKeys;
  readonly socketPath: string;
  /** What was answered with a 5xx. */
  readonly failures: readonly unknown[];
  /** Writes these bytes as they are, and answers all that comes until the server closes. */
  raw(bytes: string | Buffer): Promise<string>;
}

export async function bareDoor(front: Partial<ServerFront>, differences: Partial<DoorOptions> = {}): Promise<BareDoor> {
  const folder = await mkdtemp(join(tmpdir(), "toolx-door-"));
  const keys = apiKeysFolder(join(folder, "keys"));
  const failures: unknown[] = [];
  const unused = (): never => {
    throw new Error("not in this test");
  };
  const options: DoorOptions = {
    front: {
      submit: unused,
      get: async () => null,
      list: unused,
      cancel: unused,
      events: unused,
      manifest: unused,
      artifact: unused,
      letters: unused,
      letter: async () => null,
      replay: unused,
      replayLetter: async () => null,
      hasFile: async () => false,
      putFile: unused,
      tools: async () => ({ tools: [], broken: [] }),
      [Symbol.asyncDispose]: async () => undefined,
      ...front,
    },
    keys,
    metrics: metrics(),
    readiness: async () => ({ missing: [] }),
    schemas: { task: { type: "object" }, result: { type: "object" } },
    version: "0",
    maxBodyBytes: 1024 * 1024,
    now: () => Date.now(),
    listen: { host: "127.0.0.1", port: 0 },
    socketPath: join(folder, "s.sock"),
    hosts: [],
    maxConnections: 100,
    tls: null,
    onFailure: (error) => failures.push(error),
    ...differences,
  };
  const door = await openDoor(options);
  const url = door.url ?? "";
  return {
    door,
    url,
    keys,
    socketPath: options.socketPath,
    failures,
    raw: (bytes) => rawAnswer(Number(new URL(url).port), bytes),
    async [Symbol.asyncDispose]() {
      await door[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Writes these bytes to a port of the loopback as they are, and answers all that comes until the other side closes. */
export async function rawAnswer(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  // A server that has heard enough may reset the connection.
  socket.on("error", () => undefined);
  socket.write(bytes);
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(parts).toString("latin1");
}
