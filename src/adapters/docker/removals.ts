import type { Engine } from "./engine.ts";

/**
 * Takes containers away for good. An engine that does not answer in time may still do what it was asked, late and in any
 * order, so what could not be removed, or may yet appear, is tried again from time to time beside everything else.
 */
export interface Removals extends AsyncDisposable {
  /** Resolves when it is gone, or after one try that failed: then it is tried again later. Never rejects. */
  remove(idOrName: string): Promise<void>;
  /** For a create whose answer never came: there may be a container of that name now, or soon. */
  takeBack(name: string): Promise<void>;
}

// Over two minutes in all. What is left then is the reaper's: it carries our labels.
const retryDelaysMs: readonly number[] = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000];

interface Pending {
  readonly name: string;
  /** A removal that finds nothing proves nothing: what was asked for may come later. */
  readonly mayAppear: boolean;
  readonly tries: number;
  readonly timer: NodeJS.Timeout;
}

/** Removals of one engine. Dispose tries everything that is left once more. */
export function removals(engine: Engine): Removals {
  const pending = new Set<Pending>();
  let closed = false;

  const tried = async (name: string): Promise<boolean> => {
    try {
      await engine.remove(name, never);
      return true;
    } catch {
      return false;
    }
  };

  const later = (name: string, mayAppear: boolean, tries: number): void => {
    const delayMs = retryDelaysMs[tries];
    if (closed || delayMs === undefined) return;
    const entry: Pending = { name, mayAppear, tries, timer: setTimeout(() => void again(entry), delayMs) };
    // A process that has nothing else to do must not stay for this: dispose tries once more.
    entry.timer.unref();
    pending.add(entry);
  };

  const again = async (entry: Pending): Promise<void> => {
    const { name, mayAppear, tries } = entry;
    const isGone = await tried(name);
    pending.delete(entry);
    if (mayAppear || !isGone) later(name, mayAppear, tries + 1);
  };

  return {
    async remove(idOrName) {
      if (!(await tried(idOrName))) later(idOrName, false, 0);
    },
    async takeBack(name) {
      await tried(name);
      later(name, true, 0);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      const left = [...pending];
      pending.clear();
      for (const { timer } of left) clearTimeout(timer);
      await Promise.all(left.map(({ name }) => tried(name)));
    },
  };
}

/** For calls that end by their own deadline only. */
const never: AbortSignal = new AbortController().signal;
