import { once } from "node:events";
import { chmod, readdir, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { type Owner, type OwnerState, ownerText } from "../../model/owner.ts";
import type { Liveness } from "../../ports/liveness.ts";
import { codeOf, privateFolder } from "./private-folder.ts";
import { processOwner, startOf } from "./process-owner.ts";

/**
 * Listens in `runtimeDir` for as long as this process lives (or until dispose), under a name that tells who it is.
 * All executors of one user share the folder, whatever their data folders; one of another user is still judged by `/proc`.
 *
 * @throws ExecutorError validation, when the folder cannot be used; internal, where there is no `/proc`.
 */
export async function hostLiveness(runtimeDir: string): Promise<Liveness> {
  privateFolder(runtimeDir, "runtime folder");
  const self = await processOwner();
  const callbacks = new Set<() => void>();
  const poked = (): void => {
    for (const callback of callbacks) callback();
  };
  const named = await answering(socketPath(runtimeDir, self), self, poked);
  const standIns = new Map<string, { count: number; readonly socket: Promise<AsyncDisposable> }>();

  return {
    self,
    stateOf: (owner, signal) => stateOf(owner, self, runtimeDir, signal),
    async poke(owner, signal) {
      if (owner.host === self.host && owner.boot === self.boot)
        await ask(socketPath(runtimeDir, owner), "poke", signal);
    },
    async sweep(signal) {
      const left = (await readdir(runtimeDir)).map((name) => ({ name, owner: readSocketName(name, self) }));
      let swept = 0;
      for (const { name, owner } of left) {
        // Of the process itself: who stands in for it has a socket of his own.
        if (owner === null || (await stateOfProcess(owner, self, runtimeDir, signal)) !== "dead") continue;
        await rm(join(runtimeDir, name), { force: true });
        swept += 1;
      }
      return swept;
    },
    async standInFor(owner) {
      const path = standInPath(runtimeDir, owner, self);
      const held = standIns.get(path) ?? { count: 0, socket: answering(path, owner, poked) };
      standIns.set(path, held);
      held.count += 1;
      await held.socket;
      return {
        async [Symbol.asyncDispose]() {
          held.count -= 1;
          if (held.count > 0) return;
          standIns.delete(path);
          await (await held.socket)[Symbol.asyncDispose]();
        },
      };
    },
    onPoke(callback) {
      callbacks.add(callback);
      return () => {
        callbacks.delete(callback);
      };
    },
    async [Symbol.asyncDispose]() {
      await named[Symbol.asyncDispose]();
      for (const { socket } of standIns.values()) await (await socket)[Symbol.asyncDispose]();
    },
  };
}

/** A socket that answers with the owner's name. */
async function answering(path: string, owner: Owner, poked: () => void): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    answer(socket, owner, poked);
  });
  await listen(server, path);
  return {
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = once(server, "close");
      // Takes the file away, too.
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

const answerMs = 500;
const maxLineBytes = 64;

async function stateOf(owner: Owner, self: Owner, runtimeDir: string, signal: AbortSignal): Promise<OwnerState> {
  const state = await stateOfProcess(owner, self, runtimeDir, signal);
  return state === "dead" && (await isStoodInFor(owner, runtimeDir, signal)) ? "alive" : state;
}

async function stateOfProcess(owner: Owner, self: Owner, runtimeDir: string, signal: AbortSignal): Promise<OwnerState> {
  if (owner.host !== self.host) return "elsewhere";
  if (owner.boot !== self.boot) return "dead";
  if ((await ask(socketPath(runtimeDir, owner), "ping", signal)) === ownerText(owner)) return "alive";
  return (await mayLive(owner)) ? "alive" : "dead";
}

async function isStoodInFor(owner: Owner, runtimeDir: string, signal: AbortSignal): Promise<boolean> {
  const prefix = `${socketName(owner)}+`;
  for (const name of (await readdir(runtimeDir)).filter((each) => each.startsWith(prefix)))
    if ((await ask(join(runtimeDir, name), "ping", signal)) === ownerText(owner)) return true;
  return false;
}

// A stopped or busy process does not answer and lives all the same; a pid taken by another process has another start.
async function mayLive({ pid, start }: Owner): Promise<boolean> {
  const found = await startOf(pid);
  // What cannot be seen cannot be proven gone.
  return found === start || found === "hidden";
}

/** One question on one connection; null when there is no answer in time. */
async function ask(path: string, question: "ping" | "poke", signal: AbortSignal): Promise<string | null> {
  using limit = deadline(signal, answerMs, new Error(`${path}: no answer within ${answerMs} ms`));
  const socket = connect(path);
  const stop = (): void => void socket.destroy();
  limit.signal.addEventListener("abort", stop, { once: true });
  if (limit.signal.aborted) stop();
  try {
    return await new Promise<string | null>((resolve) => {
      // No socket, nobody behind it, not ours to open, too late: all of it is no answer.
      socket.once("error", () => resolve(null));
      socket.once("close", () => resolve(null));
      readLine(socket, resolve);
      socket.write(`${question}\n`);
    });
  } finally {
    signal.throwIfAborted();
    socket.destroy();
  }
}

function answer(socket: Socket, self: Owner, poked: () => void): void {
  // A client that went away in the middle is no concern of ours.
  socket.on("error", () => socket.destroy());
  socket.setTimeout(answerMs, () => socket.destroy());
  readLine(socket, (line) => {
    if (line === "poke") poked();
    socket.end(line === "ping" || line === "poke" ? `${ownerText(self)}\n` : "");
  });
}

/** Calls back once, with the first line; cuts off a peer that sends none within its due length. */
function readLine(socket: Socket, callback: (line: string) => void): void {
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (piece: string) => {
    text += piece;
    const end = text.indexOf("\n");
    if (end >= 0) {
      socket.removeAllListeners("data");
      callback(text.slice(0, end));
    } else if (text.length > maxLineBytes) socket.destroy();
  });
}

async function listen(server: Server, path: string): Promise<void> {
  // The kernel takes 107 bytes; a longer path would be cut off or refused with a word that helps nobody.
  if (Buffer.byteLength(path) > 107) {
    throw new ExecutorError("validation", `runtime folder: ${path} is ${Buffer.byteLength(path)} bytes long`, {
      hint: "a socket's path has at most 107: choose a shorter folder",
    });
  }
  try {
    const listening = once(server, "listening");
    server.listen(path);
    await listening;
    await chmod(path, 0o600);
  } catch (cause) {
    throw new ExecutorError("validation", `runtime folder: cannot listen on ${path} (${codeOf(cause)})`, { cause });
  }
  // Being alive is no reason to stay alive.
  server.unref();
}

// Short, because a socket's path is: the first half of the host, of the boot, and all of the process.
const socketName = ({ host, boot, pid, start }: Owner): string =>
  `${host.slice(0, 8)}-${boot.slice(0, 8)}-${pid}-${start}`;

const socketPath = (runtimeDir: string, owner: Owner): string => join(runtimeDir, `${socketName(owner)}.sock`);

/** Where one of this host answers for another of it. */
const standInPath = (runtimeDir: string, owner: Owner, self: Owner): string =>
  join(runtimeDir, `${socketName(owner)}+${self.pid}-${self.start}.sock`);

/**
 * The owner who listens behind a socket's name; null for one of another host, where we cannot judge, and for any other name.
 */
function readSocketName(name: string, self: Owner): Owner | null {
  const match = /^([0-9a-f]{8})-([0-9a-f]{8})-(?:\d{1,10}-\d{1,20}\+)?(\d{1,10})-(\d{1,20})\.sock$/.exec(name);
  if (match === null || match[1] !== self.host.slice(0, 8)) return null;
  const boot = match[2] === self.boot.slice(0, 8) ? self.boot : (match[2] ?? "");
  return { host: self.host, boot, pid: Number(match[3]), start: Number(match[4]) };
}
