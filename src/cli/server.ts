import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { ServerPlace } from "../adapters/http/client/http-call.ts";
import type { Config } from "../app/config.ts";
import { serverSocket } from "../app/server-socket.ts";
import type { Front, ServerFront } from "../ports/front.ts";
import type { CliContext } from "./context.ts";

/** The server that commands are for: the one that a setting names, otherwise that of the data folder where one runs; null: none. */
export async function openServer(context: CliContext): Promise<ServerFront | null> {
  const place = await serverPlace(context.config());
  if (place === null) return null;
  const { httpFront } = await import("../adapters/http/client/http-front.ts");
  return httpFront(place);
}

/** The same, or what the data folder tells by itself. */
export async function openFrontOf(context: CliContext): Promise<Front> {
  const server = await openServer(context);
  if (server !== null) return server;
  const { openFront } = await import("../app/front.ts");
  return await openFront(context.config());
}

async function serverPlace(config: Config): Promise<ServerPlace | null> {
  if (config.url !== "") return { kind: "url", url: config.url, apiKey: config.apiKey };
  const socketPath = serverSocket(config);
  return existsSync(socketPath) && (await answers(socketPath)) ? { kind: "socket", socketPath } : null;
}

/** A server that was killed leaves its socket behind. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}
