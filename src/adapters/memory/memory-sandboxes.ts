import { randomUUID } from "node:crypto";
import { type CollectEnd, cleanExit } from "../../model/exit.ts";
import type { Sandbox, SandboxEvent, Sandboxes } from "../../ports/sandbox.ts";

/**
 * Sandboxes that are none: every task ends at once as `true` does, prints nothing and leaves nothing. For tests, and for measuring what the
 * line costs by itself.
 */
export function memorySandboxes(): Sandboxes {
  return {
    requireRuntime: async () => undefined,
    standby: () => ({ fixedLimits: [], memoryBytes: 0 }),
    create: async () => endsAtOnce(),
    attach: async () => {
      throw new Error("a sandbox of another process's memory");
    },
  };
}

function endsAtOnce(): Sandbox {
  const id = randomUUID();
  let said: SandboxEvent[] = [];
  let seq = 0;
  let ackedSeq = 0;
  let isOver = false;
  const ended = Promise.withResolvers<void>();
  let wake: (() => void) | null = null;
  const say = (...events: readonly SandboxEvent[]): void => {
    said.push(...events);
    wake?.();
  };
  const next = () => ({ seq: ++seq, timeUs: seq });
  const end = (): void => {
    isOver = true;
    ended.resolve();
    wake?.();
  };
  return {
    id,
    warm: false,
    ended: ended.promise,
    refit: async () => undefined,
    check: async () => !isOver,
    resumed: null,
    resumePoint: () => ({ sandboxId: id, token: "", lastSeq: ackedSeq }),
    async putFiles(tar) {
      for await (const _chunk of tar);
    },
    async start() {
      say({ kind: "started", ...next() }, { kind: "exit", ...next(), exit: cleanExit });
      return 1;
    },
    writeStdin: async () => undefined,
    serve: () => undefined,
    closeStdin: () => undefined,
    terminate: () => undefined,
    async kill() {
      say({ kind: "gone", gone: { oomKilled: false, exitCode: 137, diagnosis: "" } });
    },
    collect() {
      say({ kind: "artifacts", ...next(), bytes: emptyTar }, { kind: "end", ...next(), end: nothing });
    },
    async *events() {
      for (;;) {
        while (said.length > 0) {
          const batch = said;
          said = [];
          yield batch;
        }
        if (isOver) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
        wake = null;
      }
    },
    ack(upTo) {
      ackedSeq = upTo;
    },
    async detach() {
      end();
    },
    async [Symbol.asyncDispose]() {
      end();
    },
  };
}

const emptyTar = Buffer.alloc(1024);

const nothing: CollectEnd = { entries: 0, bytes: 0, skipped: [], skippedCount: 0, limit: null };
