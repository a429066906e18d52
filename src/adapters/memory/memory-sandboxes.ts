import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type CollectEnd, cleanExit } from "../../model/exit.ts";
import type { JsonObject } from "../../model/task.ts";
import type { Sandbox, SandboxCommand, SandboxEvent, Sandboxes } from "../../ports/sandbox.ts";

/** What a task does, as it is heard of. */
export interface MemoryTask {
  readonly says?: readonly (
    | { readonly kind: "stdout" | "stderr"; readonly bytes: Buffer }
    | { readonly kind: "progress"; readonly value: JsonObject }
  )[];
  /** Of the tar of its `/output`; none: an empty one. */
  readonly leaves?: readonly Buffer[];
}

/**
 * Sandboxes that are none: every task does what `does` says and ends at once as `true` does. For tests, and for measuring what the line costs
 * by itself.
 */
export function memorySandboxes(does: (command: SandboxCommand) => MemoryTask = () => ({})): Sandboxes {
  return {
    requireRuntime: async () => undefined,
    standby: () => ({ fixedLimits: [], memoryBytes: 0 }),
    create: async () => endsAtOnce(does),
    attach: async () => {
      throw new Error("a sandbox of another process's memory");
    },
  };
}

function endsAtOnce(does: (command: SandboxCommand) => MemoryTask): Sandbox {
  const id = randomUUID();
  let said: SandboxEvent[] = [];
  let seq = 0;
  let ackedSeq = 0;
  let isOver = false;
  let leaves: readonly Buffer[] = [emptyTar];
  let [hasRun, isAsked] = [false, false];
  let armedWith: SandboxCommand | null = null;
  /** Frames, as another sandbox would count them. */
  let asked = 0;
  const ended = Promise.withResolvers<void>();
  let wake: (() => void) | null = null;
  const say = (...events: readonly SandboxEvent[]): void => {
    said.push(...events);
    wake?.();
  };
  const next = () => ({ seq: ++seq, timeUs: seq });
  const sayWhatIsLeft = (): void => {
    for (const bytes of leaves) say({ kind: "artifacts", ...next(), bytes });
    say({ kind: "end", ...next(), end: nothing });
  };
  const end = (): void => {
    isOver = true;
    ended.resolve();
    wake?.();
  };
  return {
    id,
    warm: false,
    collectsEarly: true,
    ended: ended.promise,
    refit: async () => undefined,
    check: async () => !isOver,
    resumed: null,
    resumePoint: () => ({ sandboxId: id, token: "", lastSeq: ackedSeq }),
    async putFiles(tar) {
      for await (const _chunk of tar);
    },
    arm(command) {
      armedWith = command;
      asked += 1;
    },
    async start(command) {
      if (armedWith !== null && !isDeepStrictEqual(armedWith, command))
        throw new Error("it was armed with another task");
      const task = does(command);
      leaves = task.leaves ?? leaves;
      say({ kind: "started", ...next() });
      const bytes = { stdout: 0, stderr: 0 };
      for (const said of task.says ?? []) {
        if (said.kind !== "progress") bytes[said.kind] += said.bytes.length;
        say({ ...said, ...next() });
      }
      const exit = { ...cleanExit, stdoutBytes: bytes.stdout, stderrBytes: bytes.stderr };
      say({ kind: "exit", ...next(), exit });
      hasRun = true;
      if (isAsked) sayWhatIsLeft();
      asked += 1;
      return asked;
    },
    writeStdin: async () => undefined,
    serve: () => undefined,
    closeStdin: () => undefined,
    terminate: () => undefined,
    async kill() {
      say({ kind: "gone", gone: { oomKilled: false, exitCode: 137, diagnosis: "" } });
    },
    collect(_caps, onNumber) {
      asked += 1;
      onNumber?.(asked);
      if (hasRun && !isAsked) sayWhatIsLeft();
      isAsked = true;
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
