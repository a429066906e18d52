import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type Dockerode from "dockerode";

/** What the engine said of its images, kept for as long as it tells of no change to them. Dispose ends that. */
export interface ImageMemory extends Disposable {
  /**
   * What `look` found under this name, now or before, or what another's look that is under way finds; what is not found is looked for every
   * time. A look that fails, or is given up by who began it, is no other's failure.
   * @param name a repository, or anything that is in no image's name; what is found under it is one kind of thing.
   */
  of<T extends { readonly id: string }>(name: string, look: () => Promise<T | null>): Promise<T | null>;
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
/** From the answer, or the change, to the look beside it: the engine has the task to care for first. */
const refreshPauseMs = 500;
/** Between two tries to listen. */
const retryMs = 5_000;
/** Of one event; labels of an image make it long. */
const maxLineChars = 1_048_576;

/** Which image changed. */
interface ImageEvent {
  readonly id: string;
  /** Of a tag or a pull; the ID again where it has none. */
  readonly name: string;
}

/** Those of which the engine says all there is to know. It loads and imports images under names that it does not tell. */
const plainActions: ReadonlySet<unknown> = new Set(["tag", "untag", "delete", "pull", "push", "save", "prune"]);

/** Null where it cannot be known which image it is about. */
function imageEvent(line: string): ImageEvent | null {
  try {
    const { Action, Actor } = JSON.parse(line);
    if (!plainActions.has(Action)) return null;
    const { ID: id, Attributes } = Actor;
    const name = Attributes?.name ?? id;
    return typeof id === "string" && typeof name === "string" ? { id, name } : null;
  } catch {
    return null;
  }
}

/** One thing that was found, and how to find it again. */
interface Known {
  readonly found: { readonly id: string };
  readonly at: number;
  readonly look: () => Promise<{ readonly id: string } | null>;
}

const concerns = ({ id, name }: ImageEvent, known: string, found: Known["found"]): boolean =>
  id === found.id || name.includes(known);

/**
 * Listens to the engine from the second look on: who looks once needs no memory. While it does not listen nothing is remembered, so an engine
 * that does not let us is asked every time. A change is known once its event has come, milliseconds after it. Where builds and pulls change
 * other images all the time, what is known stays: an engine that is busy with those takes up to a second for its list. Where an event does not
 * say whose it is, it is still given, and looked for again beside that.
 */
export function imageMemory(docker: Pick<Dockerode, "getEvents">): ImageMemory {
  const known = new Map<string, Known>();
  const underWay = new Map<string, Promise<Known["found"] | null>>();
  /** What has come while they look, for each look that is under way. */
  const heard = new Set<(ImageEvent | null)[]>();
  const stop = new AbortController();
  const refreshes = new Map<string, NodeJS.Timeout>();
  /** May be other than known, by an event that does not say whose it is. */
  const unclear = new Set<string>();
  let listening: Readable | null = null;
  let triedAt = Number.NEGATIVE_INFINITY;
  let lookCount = 0;

  const forgotten = (): void => {
    known.clear();
    underWay.clear();
    unclear.clear();
  };

  const changed = (event: ImageEvent | null): void => {
    for (const events of heard) events.push(event);
    // What is under way may find what was there before; who asks from now on looks anew.
    underWay.clear();
    for (const [name, { found, look }] of known) {
      if (event === null) doubted(name, look);
      else if (concerns(event, name, found)) known.delete(name);
    }
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
        forgotten();
      };
      stream.on("data", eachLine(changed)).once("error", over).once("close", over);
      forgotten();
      listening = stream;
    } catch {
      // Nobody waits for it: the engine is asked as before.
    }
  };

  /** Keeps what is found, unless it may have changed meanwhile. */
  const looked = async <T extends Known["found"]>(name: string, look: () => Promise<T | null>): Promise<T | null> => {
    const from = listening;
    const events: (ImageEvent | null)[] = [];
    heard.add(events);
    const looking = look();
    underWay.set(name, looking);
    const found = await looking.finally(() => {
      heard.delete(events);
      if (underWay.get(name) === looking) underWay.delete(name);
    });
    if (from === null || from !== listening) return found;
    if (found === null || events.some((event) => event !== null && concerns(event, name, found))) known.delete(name);
    else known.set(name, { found, look, at: performance.now() });
    if (!events.includes(null)) unclear.delete(name);
    else doubted(name, look);
    return found;
  };

  const doubted = (name: string, look: Known["look"]): void => {
    unclear.add(name);
    refreshSoon(name, look);
  };

  const refreshSoon = (name: string, look: Known["look"]): void => {
    if (refreshes.has(name)) return;
    const refresh = async (): Promise<void> => {
      // From here on it is too late for what comes: that is for another one.
      refreshes.delete(name);
      try {
        if (!underWay.has(name)) await looked(name, look);
      } catch {
        // Its asker may have been given up long ago. Whoever asks next tries again, and waits for it where what is known is in doubt.
        if (unclear.delete(name)) known.delete(name);
      }
    };
    refreshes.set(name, setTimeout(() => void refresh(), refreshPauseMs).unref());
  };

  return {
    async of<T extends Known["found"]>(name: string, look: () => Promise<T | null>): Promise<T | null> {
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

/** Hands on what each whole line says; one that is too long says nothing clear, like one that is no event. */
function eachLine(tell: (event: ImageEvent | null) => void): (chunk: Buffer | string) => void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  return (chunk) => {
    const lines = (rest + (typeof chunk === "string" ? chunk : decoder.write(chunk))).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tell(imageEvent(line));
    if (rest.length <= maxLineChars) return;
    rest = "";
    tell(null);
  };
}
