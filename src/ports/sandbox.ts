import type { Duplex } from "node:stream";
import type { CollectEnd, Exit } from "../model/exit.ts";
import type { LimitName, Limits } from "../model/limits.ts";
import type { GivenSecret } from "../model/secret.ts";
import type { JsonObject } from "../model/task.ts";

/** An image that may run: a name for people, an ID for the engine, and what of its environment reaches a task. */
export interface Image {
  readonly name: string;
  /** `sha256:…`, what the engine is asked to start. */
  readonly id: string;
  readonly env: Readonly<Record<string, string>>;
  /** What may be started in a sandbox before its task is known; null or not there: nothing. */
  readonly prewarm?: Prewarm | null;
}

/** A program that waits for its task with the slow part of its start behind it, such as an interpreter with its imports done. */
export interface Prewarm {
  /** How it is started. A task whose command begins with the same first word may be given to it. */
  readonly argv: readonly string[];
  /** Variables that it reads before it waits, by name or, with `*` at the end, by the beginning of a name. */
  readonly environment: readonly string[];
  /** What it takes while it waits, MiB, at most. */
  readonly memoryMb: number;
}

/** Where images are looked up. Never pulls. */
export interface Images {
  /**
   * The image a request may name, or null when the allowlist has no such name.
   * @throws ExecutorError image, when the name is allowed but the image is not on this engine.
   */
  resolve(name: string, signal: AbortSignal): Promise<Image | null>;
  /** Every name of the allowlist. */
  names(): readonly string[];
}

export interface SandboxSpec {
  readonly image: Image;
  readonly runtime: string;
  readonly limits: Limits;
  /** What it is made for; not there: one task, which waits for it. */
  readonly purpose?: "pool";
}

/** What has to be known of a runtime's sandboxes to keep some ready. */
export interface Standby {
  /** Limits that cannot be changed once a sandbox is made. */
  readonly fixedLimits: readonly LimitName[];
  /** What one takes while it waits, at most. */
  readonly memoryBytes: number;
}

/** What runs inside: the whole environment, nothing is added but `TOOL_PROGRESS_FD`, and secrets with `TOOL_SECRETS_DIR`. */
export interface SandboxCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Whether `stdin` will be written; otherwise the task reads end-of-file. */
  readonly stdin: boolean;
  readonly deadlineMs: number;
  readonly graceMs: number;
  /** Told inside only, and handed back to who attaches. Not there: none. */
  readonly secrets?: readonly GivenSecret[];
  /** Absent: nothing leads anywhere. */
  readonly out?: SandboxOut;
}

/** What leads out of a sandbox. */
export interface SandboxOut {
  /** What of its loopback leads to {@link Sandbox.serve}. */
  readonly listen: readonly SandboxPort[];
  /** Certificates (PEM) to trust beside the image's, all of them in `/run/toolx/ca.pem`; empty: there is no such file. */
  readonly extraCa: string;
}

/** A TCP port of the task's 127.0.0.1 behind which we are. */
export interface SandboxPort {
  readonly port: number;
  /** What its connections are called; at most 300 characters. */
  readonly to: string;
}

/** One connection that the task made to such a port. It ends with its sandbox, and when another process attaches to that. */
export interface SandboxConnection {
  readonly to: string;
  /** May be half closed. Destroyed before both sides have ended it, the task sees a reset. Errors need no listener. */
  readonly stream: Duplex;
}

export interface CollectCaps {
  readonly maxBytes: number;
  readonly maxEntries: number;
  readonly maxDepth: number;
}

/** What a sandbox says, in its own order. `seq` counts without a hole; `timeUs` is the sandbox's monotonic clock. */
export type SandboxEvent =
  | { readonly kind: "started"; readonly seq: number; readonly timeUs: number }
  | { readonly kind: "stdout"; readonly seq: number; readonly timeUs: number; readonly bytes: Buffer }
  | { readonly kind: "stderr"; readonly seq: number; readonly timeUs: number; readonly bytes: Buffer }
  | { readonly kind: "progress"; readonly seq: number; readonly timeUs: number; readonly value: JsonObject }
  | { readonly kind: "exit"; readonly seq: number; readonly timeUs: number; readonly exit: Exit }
  | { readonly kind: "failed"; readonly seq: number; readonly timeUs: number; readonly failure: StartFailure }
  | { readonly kind: "artifacts"; readonly seq: number; readonly timeUs: number; readonly bytes: Buffer }
  | { readonly kind: "end"; readonly seq: number; readonly timeUs: number; readonly end: CollectEnd }
  /** Something a later version says; to be acknowledged like any other. */
  | { readonly kind: "unknown"; readonly seq: number; readonly timeUs: number }
  /** Always last: the sandbox is no more, and says nothing further. */
  | { readonly kind: "gone"; readonly gone: SandboxGone };

/** The task was never started: its input or its start could not be done inside. */
export interface StartFailure {
  readonly stage: "input" | "start";
  readonly code: string;
  readonly message: string;
}

/** What the engine knows of a sandbox that ended without `end`. */
export interface SandboxGone {
  /** By the engine's own event or counter, never guessed from an exit code. */
  readonly oomKilled: boolean;
  readonly exitCode: number | null;
  /** What sandbox-init printed last, for our own diagnosis; at most 8 KiB. */
  readonly diagnosis: string;
}

/** What another process needs to take over a live sandbox. Secret: the token opens it. */
export interface ResumePoint {
  readonly sandboxId: string;
  readonly token: string;
  /** The last event that is safely kept. */
  readonly lastSeq: number;
}

/** Where a sandbox stood when it was attached again. */
export interface Resumed {
  /** `idle`: its task was never given its command. `exited`: the task has ended, and its `exit` comes again; `ended`: what it left, too. */
  readonly state: "idle" | "running" | "exited" | "ended";
  /** The last frame of its former holder that it has. */
  readonly lastInSeq: number;
  /** What one frame of standard input holds, but for the last. */
  readonly stdinPieceBytes: number;
  /** What its task was given. */
  readonly secrets: readonly GivenSecret[];
}

/**
 * Makes sandboxes. One per process; every call may run concurrently with any other.
 *
 * Order of calls for one sandbox: `create` → `putFiles`? → `arm`? → `serve`? → `start` → `writeStdin`* ∥ `events` → `collect` → `events` → dispose.
 * Dispose is legal at any point, twice is once, and leaves no container, volume or network behind.
 */
export interface Sandboxes {
  /** @throws ExecutorError policy_denied, naming the runtimes there are, when the engine lacks this one; sandbox, when it does not answer. */
  requireRuntime(name: string, signal: AbortSignal): Promise<void>;
  standby(runtime: string): Standby;
  /** Ready to be given files and a command. @throws ExecutorError sandbox | image, with nothing left behind. */
  create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /**
   * A live sandbox that another process made. Everything after `from.lastSeq` comes again.
   * @throws ExecutorError sandbox, when it is gone, or has forgotten something that is not kept.
   */
  attach(from: ResumePoint, signal: AbortSignal): Promise<Sandbox>;
}

/** Sandboxes of which some stand ready. */
export interface ReadySandboxes {
  /** One that stands ready just as it is asked for, for a task that may not come to be; null: there is none now. */
  offer(spec: SandboxSpec): OfferedSandbox | null;
}

/** Of the two calls one is made, once. */
export interface OfferedSandbox {
  readonly id: string;
  readonly resumePoint: ResumePoint;
  /** To have it told ahead what its task will be. */
  ahead(): Pick<Sandbox, "arm" | "collectsEarly" | "collect">;
  /** It is the caller's from here on. */
  take(): Sandbox;
  /** It stands ready again, or is taken down where it was told anything. */
  giveBack(): void;
}

export interface Sandbox extends AsyncDisposable {
  /** The engine's own id. */
  readonly id: string;
  /** Whether it stood ready before its task asked for one. */
  readonly warm: boolean;
  /** Whether `collect` may come before `start`. */
  readonly collectsEarly: boolean;
  /** Resolves once the sandbox is no more, or was let go of; never rejects. */
  readonly ended: Promise<void>;
  /**
   * Gives it these limits in place of those it was made with; before anything else is asked of it.
   * @throws ExecutorError sandbox, when they could not be set: it must not be used then. internal, for one that cannot be changed.
   */
  refit(limits: Limits, signal: AbortSignal): Promise<void>;
  /** Asks one that waits for its task whether it still does. False is final. */
  check(signal: AbortSignal): Promise<boolean>;
  /** For adoption by a successor; changes with every acknowledged event. */
  resumePoint(): ResumePoint;
  /** Null for one that was created here. */
  readonly resumed: Resumed | null;
  /** Unpacks a tar stream of plain files and directories into `/workspace`. Errors in it show as a `failed` event. */
  putFiles(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /**
   * Tells it what it will be started with, which makes `start` cheaper: that must then be with the same. Nothing of the task runs before. What
   * cannot be shows as a `failed` event. Files come before it. One of an older image is told nothing.
   */
  arm(command: SandboxCommand): void;
  /** Answers the number of the frame that tells the sandbox; what is written to its input is numbered on from there. */
  start(command: SandboxCommand, signal: AbortSignal): Promise<number>;
  /** Has the task's connections served from here on; without, each is reset. Must not throw. */
  serve(onConnection: (connection: SandboxConnection) => void): void;
  /** Waits while the sandbox has not used what it was given before. */
  writeStdin(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  closeStdin(): void;
  /** Asks every process of the task to end: SIGTERM, and SIGKILL after the grace. The `exit` event follows. */
  terminate(graceMs: number): void;
  /** Ends the container itself; `gone` follows. For a sandbox that no longer answers. */
  kill(signal: AbortSignal): Promise<void>;
  /**
   * Behind `exit` or `failed` come `artifacts` events and one `end`: at once where it was asked before, which not every sandbox
   * can be ({@link collectsEarly}). Again it changes nothing. `onNumber` hears the number of the frame that asks before it is sent:
   * by that a successor knows whether the sandbox was asked.
   */
  collect(caps: CollectCaps, onNumber?: (seq: number) => void): void;
  /**
   * Everything said since the last call, in batches. Read by one reader at a time; leaving the loop and
   * entering it again loses nothing. Not reading holds the task back, as a full pipe does. The bytes of a batch are good until the
   * next one is asked for: who wants them longer copies them.
   */
  events(): AsyncIterable<readonly SandboxEvent[]>;
  /**
   * Everything up to `seq` is safely kept and need never be said again. With `end` acknowledged the sandbox ends by itself. It keeps 4 MiB
   * that are not acknowledged, and says no more until they are.
   */
  ack(seq: number): void;
  /** Lets go of the sandbox without ending it, for a successor. Nothing may be called afterwards. */
  detach(): Promise<void>;
}
