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

/**
 * Should the engine's word ever fail to come. What is older is still given, and looked for again beside that: a list of a hundred images
 * takes the engine 20 ms and more, and no task needs to wait for it.
 */
const refreshAfterMs = 30_000;
/** Whose look was so long ago waits for a new one. */
const maxAgeMs = 600_000;
/** From the answer to the look beside it: the engine has the task to care for first. */
const refreshPauseMs = 500;
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
  const refreshes = new Map<string, NodeJS.Timeout>();
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

  /** Keeps what is found, unless it may have changed meanwhile. */
  const looked = async <T>(name: string, look: () => Promise<T | null>): Promise<T | null> => {
    const [from, changesBefore] = [listening, changeCount];
    const looking = look();
    underWay.set(name, looking);
    const found = await looking.finally(() => {
      if (underWay.get(name) === looking) underWay.delete(name);
    });
    if (from === null || from !== listening || changesBefore !== changeCount) return found;
    if (found === null) known.delete(name);
    else known.set(name, { found, at: performance.now() });
    return found;
  };

  const refreshSoon = <T>(name: string, look: () => Promise<T | null>): void => {
    if (refreshes.has(name)) return;
    const refresh = async (): Promise<void> => {
      try {
        if (!underWay.has(name)) await looked(name, look);
      } catch {
        // Whoever asks next tries again.
      } finally {
        refreshes.delete(name);
      }
    };
    refreshes.set(name, setTimeout(() => void refresh(), refreshPauseMs).unref());
  };

  return {
    async of<T>(name: string, look: () => Promise<T | null>): Promise<T | null> {
      const before = known.get(name);
      const ageMs = before === undefined ? Number.POSITIVE_INFINITY : performance.now() - before.at;
      if (before !== undefined && ageMs < maxAgeMs) {
        if (ageMs > refreshAfterMs) refreshSoon(name, look);
        // SAFETY: a name stands for one kind of look.
        return before.found as T;
      }
      // SAFETY: as above.
      const other = underWay.get(name) as Promise<T | null> | undefined;
      const shared = other === undefined ? null : await other.catch(() => null);
      if (shared !== null) return shared;
      lookCount += 1;
      if (lookCount > 1 && listening === null && performance.now() - triedAt > retryMs) void listen();
      return await looked(name, look);
    },
    [Symbol.dispose]() {
      stop.abort();
      listening?.destroy();
      for (const timer of refreshes.values()) clearTimeout(timer);
      known.clear();
    },
  };
}
