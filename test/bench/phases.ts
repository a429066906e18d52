import type { Parts } from "../../src/executor/parts.ts";
import type { Sandbox } from "../../src/ports/sandbox.ts";

/** What each call of the line through a port took, milliseconds, one sample a call. */
export type Phases = ReadonlyMap<string, number[]>;

/** The same parts with a watch on every port; `phases` fills up while they are used. */
export function watchedParts(parts: Parts): { readonly parts: Parts; readonly phases: Phases } {
  const phases = new Map<string, number[]>();
  const timed = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    try {
      return await call();
    } finally {
      const samples = phases.get(name) ?? [];
      samples.push(performance.now() - startedAt);
      phases.set(name, samples);
    }
  };
  const { store, images, sandboxes } = parts;
  return {
    phases,
    parts: {
      ...parts,
      images: { ...images, resolve: (name, signal) => timed("images.resolve", () => images.resolve(name, signal)) },
      store: {
        ...store,
        intake: (task, hash, signal) => timed("store.intake", () => store.intake(task, hash, signal)),
        get: (key, signal) => timed("store.get", () => store.get(key, signal)),
        leaseTask: (key, owner, leaseMs, signal) =>
          timed("store.lease", () => store.leaseTask(key, owner, leaseMs, signal)),
        starting: (attempt, signal) => timed("store.starting", () => store.starting(attempt, signal)),
        running: (attempt, id, deadlineAt, signal) =>
          timed("store.running", () => store.running(attempt, id, deadlineAt, signal)),
        collecting: (attempt, signal) => timed("store.collecting", () => store.collecting(attempt, signal)),
        finish: (attempt, result, bytes, signal) =>
          timed("store.finish", () => store.finish(attempt, result, bytes, signal)),
      },
      openJournal: (attempt, capBytes) => timed("journal.open", () => parts.openJournal(attempt, capBytes)),
      sandboxes: {
        ...sandboxes,
        create: async (spec, signal) =>
          watchedSandbox(await timed("sandbox.create", () => sandboxes.create(spec, signal)), timed),
      },
    },
  };
}

type Timed = <T>(name: string, call: () => Promise<T>) => Promise<T>;

/** `sandbox.run`: from start to exit; `sandbox.collect`: from collect to end. */
function watchedSandbox(sandbox: Sandbox, timed: Timed): Sandbox {
  let finish: (() => void) | null = null;
  const begin = (name: string): void => {
    const ended = Promise.withResolvers<void>();
    finish = ended.resolve;
    void timed(name, async () => await ended.promise);
  };
  return {
    ...sandbox,
    async start(command, signal) {
      begin("sandbox.run");
      return await sandbox.start(command, signal);
    },
    collect(caps) {
      begin("sandbox.collect");
      sandbox.collect(caps);
    },
    async *events() {
      for await (const batch of sandbox.events()) {
        if (batch.some(({ kind }) => kind === "exit" || kind === "end" || kind === "failed" || kind === "gone"))
          finish?.();
        yield batch;
      }
    },
    [Symbol.asyncDispose]: () => timed("sandbox.dispose", async () => await sandbox[Symbol.asyncDispose]()),
  };
}
