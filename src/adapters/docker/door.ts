import { lstat } from "node:fs/promises";
import { connect } from "node:net";
import { type AttachEvents, type AttachedStream, readInto, streamOf } from "./attach.ts";

/** Where a sandbox makes its door: a file system of its own, in memory. */
const doorFolder = "/run/toolx";

/** Connections in, each to one sandbox. */
export interface Doors {
  /** Whether a new sandbox is worth asking for a door. */
  areWorthIt(): boolean;
  /** What became of the last one. */
  tried(worked: boolean): void;
}

/** So many in a row that led nowhere, and no more are tried: it is this machine, and not the sandbox. */
const mostMisses = 3;

/** `canWork` false: none is ever tried. */
export function doors(canWork: boolean): Doors {
  let misses = canWork ? 0 : mostMisses;
  return {
    areWorthIt: () => misses < mostMisses,
    tried(worked) {
      misses = worked ? 0 : misses + 1;
    },
  };
}

/** Where the kernel shows root the door of a sandbox on this machine, whose first process is `pid`. The name is one that we made up. */
export const doorPath = (pid: number, name: string): string => `/proc/${pid}/root${doorFolder}/${name}`;

/**
 * Comes in by a door: one hop instead of the engine's ten.
 * @throws Error where there is no such socket: the sandbox runs on another machine, in a process namespace or under a kernel of its own, or we
 * are not allowed to look.
 */
export async function doorStream(path: string, events: AttachEvents): Promise<AttachedStream> {
  // SAFETY: a link would lead out of the sandbox. Whether it is the right sandbox, the greeting shows.
  if (!(await lstat(path)).isSocket()) throw new Error(`${path} is no socket`);
  const { promise, resolve, reject } = Promise.withResolvers<AttachedStream>();
  const socket = connect({ path, onread: readInto((chunk) => events.bytes(chunk)) });
  socket.once("connect", () => resolve(streamOf(socket)));
  socket.once("error", reject);
  socket.once("close", () => {
    reject(new Error(`${path} was closed`));
    events.closed();
  });
  return promise;
}
