import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { dirname } from "node:path";
import { ExecutorError } from "../../model/failure.ts";

/** Answers the URL. @throws ExecutorError validation */
export async function listenOnAddress(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
) {
  const bare = host.replace(/^\[|\]$/g, "");
  await listening(server, `${host}:${port}`, () => server.listen({ host: bare, port }));
  const { address, port: taken, family } = server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`;
}

/** Takes the place of a dead server's socket, never of a living one's. @throws ExecutorError validation */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107)
    throw new ExecutorError(
      "validation",
      `the server's socket ${path} has a path of ${Buffer.byteLength(path)} bytes`,
      {
        hint: "a socket's path has at most 107: choose a shorter TOOL_EXECUTOR_DATA",
      },
    );
  if (await answers(path))
    throw new ExecutorError("validation", `a server of this data folder runs already: it answers at ${path}`, {
      hint: "end it first, or give this one another TOOL_EXECUTOR_DATA",
    });
  // Nothing else has made the data folder where tasks and files are kept elsewhere. Why it cannot be made, listening says.
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(() => undefined);
  await rm(path, { force: true });
  await listening(server, path, () => {
    // SAFETY: from its first moment nobody else can open it, whatever the folder's mode is (docs/security.md#the-server).
    const before = process.umask(0o177);
    server.listen(path);
    process.umask(before);
  });
}

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

async function listening(server: Server, place: string, start: () => void): Promise<void> {
  try {
    const begun = once(server, "listening");
    start();
    await begun;
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    throw new ExecutorError("validation", `cannot listen on ${place} (${code})`, {
      cause,
      hint: "TOOL_EXECUTOR_HTTP_LISTEN names another address, or off",
    });
  }
}
