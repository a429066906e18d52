import { ExecutorError } from "../../src/model/failure.ts";
import type { Limits } from "../../src/model/limits.ts";
import type { Sandbox, Sandboxes, SandboxSpec } from "../../src/ports/sandbox.ts";

/** A sandbox that can be looked at, and does nothing. */
export interface FakeSandbox extends Sandbox {
  readonly spec: SandboxSpec;
  /** Null until it was given others. */
  limits: Limits | null;
  isRemoved: boolean;
  /** What it says when it is asked whether it still waits. */
  isWell: boolean;
  /** Ends it from outside. */
  die(): void;
}

export interface FakeSandboxes extends Sandboxes {
  /** All that were ever there, in order of their becoming so. */
  readonly made: FakeSandbox[];
  /** All that were ever asked for, in order. */
  readonly asked: SandboxSpec[];
  /** How long it takes to make one. */
  startMs: number;
  refusesStart: boolean;
  refusesRefit: boolean;
}

/** An engine on which making a sandbox takes its time and nothing else. */
export function fakeSandboxes(): FakeSandboxes {
  const unused = (): never => {
    throw new Error("not in this test");
  };
  const engine: FakeSandboxes = {
    made: [],
    asked: [],
    startMs: 100,
    refusesStart: false,
    refusesRefit: false,
    standby: () => ({ fixedLimits: ["disk_mb", "output_mb", "inodes"], memoryBytes: 50 }),
    requireRuntime: async () => undefined,
    attach: unused,
    async create(spec, signal) {
      engine.asked.push(spec);
      await pause(engine.startMs, signal);
      if (engine.refusesStart) throw new ExecutorError("sandbox", "the engine says no");
      const ended = Promise.withResolvers<void>();
      const rest = {
        putFiles: unused,
        start: unused,
        writeStdin: unused,
        closeStdin: unused,
        serve: unused,
        terminate: unused,
      };
      const sandbox: FakeSandbox = {
        ...rest,
        ...{ kill: unused, collect: unused, events: unused, ack: unused, resumed: null },
        id: `box-${engine.made.length + 1}`,
        resumePoint: () => ({ sandboxId: sandbox.id, token: "", lastSeq: 0 }),
        spec,
        warm: false,
        collectsEarly: false,
        arm: () => undefined,
        limits: null,
        isRemoved: false,
        isWell: true,
        ended: ended.promise,
        die: () => ended.resolve(),
        async refit(limits) {
          if (engine.refusesRefit) throw new ExecutorError("sandbox", "the engine says no");
          sandbox.limits = limits;
        },
        check: async () => sandbox.isWell,
        detach: async () => ended.resolve(),
        async [Symbol.asyncDispose]() {
          sandbox.isRemoved = true;
          ended.resolve();
        },
      };
      engine.made.push(sandbox);
      return sandbox;
    },
  };
  return engine;
}

/** By the timers of the test, which may be fake. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
