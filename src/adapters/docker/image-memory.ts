import type { Readable } from "node:stream";
import type Dockerode from "dockerode";

/** What the engine said of its images, kept for as long as it says that none has changed. Dispose ends that. */
export interface ImageMemory extends Disposable {
  /**
   * What `look` found under this name, now or before, or what another's look that is under way finds; what is not found is looked for every
   * time. A look that fails, or is given up by who began it, is no other's failure.
   */
  of<T>(name: string, look: () => Promise<T | null>): Promise<T | null>;
}

/** Looks every time. */
export const noMemory: ImageMemory = { of: (_name, look) => look(), [Symbol.dispose]: () => undefined };

/** Should the engine's word ever fail to come. */
const maxAgeMs = 60_000;
/** Between two tries to listen. */
const retryMs = 5_000;

/**
 * Listens to the engine from the second look on: who looks once needs no memory. While it does not listen nothing is remembered, so an engine
 * that does not let us is asked every time. A change is known once its event has come, milliseconds after it.
 */
export function imageMemory(docker: Pick<Dockerode, "getEvents">): ImageMemory {
  const known = new Map<string, { readonly found: unknown; readonly at: number }>();
  const underWay = new Map<string, Promise<unknown>>();
  const stop = new AbortController();
  let listening: Readable | null = null;
  let triedAt = Number.NEGATIVE_INFINITY;
  let lookCount = 0;
  let changeCount = 0;

  const changed = (): void => {
    changeCount += 1;
    known.clear();
    underWay.clear();
  };

  const listen = async (): Promise<void> => {
    triedAt = performance.now();
    try {
      const events = await docker.getEvents({ filters: { type: ["image"] }, abortSignal: stop.signal });
      // SAFETY: the package promises less than the response of Node that it gives.
      const stream = events as Readable;
      if (stop.signal.aborted) return void stream.destroy();
      const over = (): void => {
        if (listening !== stream) return;
        listening = null;
        changed();
      };
      stream.on("data", changed).once("error", over).once("close", over);
      changed();
      listening = stream;
    } catch {
      // Nobody waits for it: the engine is asked as before.
    }
  };

  return {
    async of<T>(name: string, look: () => Promise<T | null>): Promise<T | null> {
      const before = known.get(name);
      // SAFETY: a name stands for one kind of look.
      if (before !== undefined && performance.now() - before.at < maxAgeMs) return before.found as T;
      // SAFETY: as above.
      const other = underWay.get(name) as Promise<T | null> | undefined;
      const shared = other === undefined ? null : await other.catch(() => null);
      if (shared !== null) return shared;
      lookCount += 1;
      if (lookCount > 1 && listening === null && performance.now() - triedAt > retryMs) void listen();
      const [from, changesBefore] = [listening, changeCount];
      const looking = look();
      underWay.set(name, looking);
      const found = await looking.finally(() => {
        if (underWay.get(name) === looking) underWay.delete(name);
      });
      if (found !== null && from !== null && from === listening && changesBefore === changeCount)
        known.set(name, { found, at: performance.now() });
      return found;
    },
    [Symbol.dispose]() {
      stop.abort();
      listening?.destroy();
      known.clear();
    },
  };
}
