import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Direction } from "./engine-wire.ts";
import type { Fault } from "./spoiled-frames.ts";

/** An engine that can be made to stop answering, and whose attach streams can be spoiled. Its process ends with dispose. */
export interface EngineProxy extends AsyncDisposable {
  readonly socketPath: string;
  /** Resolves when nothing passes any more. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** The faults that were put into the streams so far. */
  met(): Promise<readonly Fault[]>;
}

/** Where faults come: on average so many bytes apart, none behind `lastByte`. */
export interface Spoil {
  readonly direction: Direction;
  readonly meanBytes: number;
  readonly lastByte: number;
}

/** What the proxy's process is started with. */
export interface ProxyOrder {
  readonly enginePath: string;
  readonly socketPath: string;
  readonly seed: string;
  readonly spoil: Spoil | null;
}

export type ProxyCommand = "freeze" | "thaw" | "report";

/** Follows the start and every command. */
export interface ProxyReport {
  readonly met: readonly Fault[];
}

export async function engineProxy(enginePath: string, seed = "", spoil: Spoil | null = null): Promise<EngineProxy> {
  const folder = await mkdtemp(join(tmpdir(), "engine-proxy-"));
  const order: ProxyOrder = { enginePath, socketPath: join(folder, "engine.sock"), seed, spoil };
  const program = join(import.meta.dirname, "engine-proxy-process.ts");
  const child = fork(program, [JSON.stringify(order)], { execArgv: ["--disable-warning=ExperimentalWarning"] });
  const ended = once(child, "exit");
  const report = async (): Promise<ProxyReport> => {
    const [said] = await Promise.race([once(child, "message"), ended.then(() => [null])]);
    if (said === null) throw new Error("the engine's proxy ended");
    return said;
  };
  const ask = (command: ProxyCommand): Promise<ProxyReport> => {
    const answer = report();
    child.send(command);
    return answer;
  };
  await report();
  return {
    socketPath: order.socketPath,
    freeze: async () => void (await ask("freeze")),
    thaw: async () => void (await ask("thaw")),
    met: async () => (await ask("report")).met,
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
