import { isDeepStrictEqual } from "node:util";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { bytesPerMb, type Limits } from "../../model/limits.ts";
import type { Prewarm, Resumed, Sandbox, SandboxCommand, SandboxEvent, SandboxGone } from "../../ports/sandbox.ts";
import { type Channels, channels } from "./channels.ts";
import type { Doors } from "./door.ts";
import type { Engine } from "./engine.ts";
import { eventQueue } from "./event-queue.ts";
import { changeableConfig, fileSizeLimitBytes, openFilesLimit } from "./host-config.ts";
import { fitsPrewarm } from "./prewarm.ts";
import {
  armedBody,
  collectBody,
  eventOf,
  prepareBody,
  type Ready,
  rehearseBody,
  type StartLimits,
  signalBody,
  startBody,
} from "./protocol/bodies.ts";
import { type Frame, frameType, maxBodyBytes } from "./protocol/frame.ts";
import type { Removals } from "./removals.ts";
import { runtimeTraits, withKnownFigures } from "./runtimes.ts";
import { fromTheStart, type SandboxLink, sandboxLink } from "./sandbox-link.ts";

/** Sent bodies that sandbox-init has not used yet: its own room, not the task's. */
const inputCreditBytes = 4 * 1024 * 1024;
const stdinCreditBytes = 256 * 1024;
/** From a kill to the end of the container's stream; the engine needs some 50 ms. */
const streamEndMs = 5_000;
/** An interpreter with large imports, on a busy machine. */
const preparedMs = 30_000;
/** Any small program: what counts is that one has run, with the loader and the library that most others have. */
const rehearsal: readonly string[] = ["/bin/true"];
/** A body of input: small enough to interleave, large enough to be fast. */
const pieceBytes = maxBodyBytes / 4;

interface Prepared {
  readonly prewarm: Prewarm;
  readonly env: Readonly<Record<string, string>>;
}

export interface DockerSandboxParts {
  readonly engine: Engine;
  readonly removals: Removals;
  readonly id: string;
  /** What it runs under: decides which figures of its exit are believed. */
  readonly runtime: string;
  /** What a task here is started with; absent where one runs already. */
  readonly limits?: Limits;
  /** What is started in a fresh one before its task is known, and the environment it gets; null or absent: nothing. */
  readonly prepared?: Prepared | null;
  /** Whether a fresh one runs a program before its task is known, where that makes the task's start faster. */
  readonly rehearses?: boolean;
  /** Ways into a fresh one beside the engine's; absent: none is tried. */
  readonly doors?: Doors | undefined;
  /** Where to begin; absent: a container that is created and not yet started. */
  readonly resume?: { readonly token: string; readonly lastSeq: number };
}

/**
 * Opens one sandbox on its container; a fresh one is started between attach and `ready`.
 * @throws ExecutorError sandbox, with the container left to the caller.
 */
export async function openDockerSandbox(parts: DockerSandboxParts, signal: AbortSignal): Promise<Sandbox> {
  const { engine, id, resume } = parts;
  let ackedSeq = resume?.lastSeq ?? 0;
  let gone = false;
  let failed = false;
  let endSeq = Number.POSITIVE_INFINITY;
  let disposed: Promise<void> | null = null;
  let lastWait: NodeJS.Timeout | null = null;
  let limits = parts.limits;
  const ended = Promise.withResolvers<void>();
  const prepared = Promise.withResolvers<boolean>();
  const queue = eventQueue(() => link.taken());
  const traits = runtimeTraits(parts.runtime);
  const told = (frame: Frame): SandboxEvent => {
    const event = eventOf(frame);
    return event.kind === "exit" ? { ...event, exit: withKnownFigures(event.exit, traits) } : event;
  };

  const connections: Channels = channels((type, channel, body) => link.sendOn(type, channel, body));
  const link: SandboxLink = sandboxLink(engine, id, resume ?? { ...fromTheStart, doors: parts.doors }, {
    frames: (frames) => {
      const events = frames.map(told);
      failed ||= events.some((event) => event.kind === "failed");
      const end = events.find((event) => event.kind === "end");
      if (end?.kind === "end") endSeq = end.seq;
      queue.push(events);
    },
    lost: (why) => void endWith(why),
    channel: (frame) => connections.take(frame),
    prepared: (isReady) => prepared.resolve(isReady),
    detached: () => connections.cutOff(),
  });

  const endWith = async (why: string): Promise<void> => {
    if (gone || disposed) return;
    gone = true;
    ended.resolve();
    prepared.resolve(false);
    if (lastWait) clearTimeout(lastWait);
    queue.push([{ kind: "gone", gone: await lastWords(engine, id, link, why) }]);
    queue.close();
  };

  /** The limits under which the image's program waits for the task; null where it does not: sandbox-init ends it with the start. */
  const prepare = async ({ prewarm, env }: Prepared): Promise<Limits | null> => {
    if (!limits || limits.memory_mb < prewarm.memoryMb) return null;
    link.send(frameType.prepare, prepareBody(prewarm.argv, env, startLimits(limits)));
    using limit = deadline(signal, preparedMs, () => new Error(`it took more than ${preparedMs} ms`));
    limit.signal.addEventListener("abort", () => prepared.resolve(false), { once: true });
    const isReady = await prepared.promise;
    signal.throwIfAborted();
    return isReady ? limits : null;
  };

  let resumed: Resumed | null = null;
  let [hasChannels, collectsEarly, arms] = [false, false, false];
  let armedWith: SandboxCommand | null = null;
  let preparedFor: Limits | null = null;
  try {
    // A fresh container is attached before it is started, so that not one byte can be missed.
    const ready = await (resume ? link.connect(signal) : link.connect(signal, () => engine.start(id, signal)));
    [hasChannels, collectsEarly, arms] = [ready.channels, ready.collectsEarly, ready.arms];
    if (resume) resumed = resumedAt(id, ready, resume.lastSeq);
    if (parts.prepared && ready.prepares) preparedFor = await prepare(parts.prepared);
    else if (parts.rehearses && ready.rehearses) link.send(frameType.rehearse, rehearseBody(rehearsal));
  } catch (error) {
    link.close();
    throw error;
  }

  const toStart = (command: SandboxCommand): Buffer => {
    if (!limits) throw hasItsTask(id);
    if (command.out && !hasChannels) throw tooOld(id);
    // What it was started under it goes on under: an interpreter has looked at its limits.
    const isPrepared =
      parts.prepared != null &&
      isDeepStrictEqual(preparedFor, limits) &&
      fitsPrewarm(parts.prepared.prewarm, parts.prepared.env, command);
    return startBody(command, startLimits(limits), isPrepared);
  };

  return {
    id,
    resumed,
    warm: false,
    collectsEarly,
    ended: ended.promise,
    async refit(wanted, refitSignal) {
      limits = await refitted(engine, { id, runtime: parts.runtime, limits }, wanted, refitSignal);
    },
    async check(checkSignal) {
      try {
        return (await link.connect(checkSignal)).state === "idle" && !gone;
      } catch {
        checkSignal.throwIfAborted();
        return false;
      }
    },
    resumePoint: () => ({ sandboxId: id, token: link.token(), lastSeq: ackedSeq }),
    async putFiles(tar, putSignal) {
      for await (const chunk of tar) {
        const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        // What nobody will unpack is not sent: its acknowledgements would pile up behind the failure, which nobody reads before the start.
        for (let at = 0; at < bytes.length && !gone && !failed; at += pieceBytes) {
          link.send(frameType.input, bytes.subarray(at, at + pieceBytes));
          await link.drained(inputCreditBytes, putSignal);
        }
      }
    },
    arm(command) {
      if (!arms) return;
      link.send(frameType.arm, toStart(command));
      armedWith = command;
      if (command.out) connections.expect();
    },
    async start(command, startSignal) {
      startSignal.throwIfAborted();
      if (armedWith !== null && armedWith !== command && !isDeepStrictEqual(armedWith, command)) throw hasItsTask(id);
      return link.send(frameType.start, armedWith === null ? toStart(command) : armedBody()) ?? 0;
    },
    async writeStdin(bytes, writeSignal) {
      const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < whole.length && !gone; at += pieceBytes) {
        await link.drained(stdinCreditBytes - pieceBytes, writeSignal);
        link.send(frameType.stdin, whole.subarray(at, at + pieceBytes));
      }
    },
    serve: (onConnection) => connections.serve(onConnection),
    closeStdin: () => void link.send(frameType.stdin, Buffer.alloc(0)),
    terminate: (graceMs) => void link.send(frameType.signal, signalBody("SIGTERM", graceMs)),
    async kill(killSignal) {
      // Whatever the engine answers, and whether its stream still moves: `gone` follows.
      lastWait ??= setTimeout(() => void endWith("it was killed"), streamEndMs);
      await engine.kill(id, killSignal);
    },
    collect: (caps, onNumber) => void link.send(frameType.collect, collectBody(caps), onNumber),
    events: () => queue.read(),
    ack(seq) {
      ackedSeq = Math.max(ackedSeq, seq);
      link.ack(seq);
      // Everything is kept: the container may end while the line goes on, and its removal then waits for nothing.
      if (seq >= endSeq) link.shutDown();
    },
    async detach() {
      disposed = Promise.resolve();
      ended.resolve();
      if (lastWait) clearTimeout(lastWait);
      link.close();
      queue.close();
    },
    async [Symbol.asyncDispose]() {
      ended.resolve();
      disposed ??= (async () => {
        if (lastWait) clearTimeout(lastWait);
        link.close();
        queue.close();
        await parts.removals.remove(id);
      })();
      await disposed;
    },
  };
}

/** @throws ExecutorError sandbox, when frames were acknowledged that the one who attaches does not have. */
function resumedAt(id: string, { state, lastInSeq, firstSeq, secrets }: Ready, lastSeq: number): Resumed {
  if (lastSeq + 1 < firstSeq)
    throw new ExecutorError(
      "sandbox",
      `sandbox ${id.slice(0, 12)}: it has forgotten events ${lastSeq + 1} to ${firstSeq - 1}, which are not kept`,
    );
  return { state, lastInSeq, stdinPieceBytes: pieceBytes, secrets };
}

const tooOld = (id: string): ExecutorError =>
  new ExecutorError("image", `sandbox ${id.slice(0, 12)}: its image's sandbox-init is too old to let a task out`, {
    hint: "add the image again with `toolx images add`",
  });

const hasItsTask = (id: string): ExecutorError =>
  new ExecutorError("internal", `sandbox ${id.slice(0, 12)}: has its task already`);

/** The limits it has afterwards. SAFETY: what the engine has not confirmed is no limit of a task, so every way out but one throws. */
async function refitted(
  engine: Engine,
  { id, runtime, limits }: Pick<DockerSandboxParts, "id" | "runtime"> & { readonly limits: Limits | undefined },
  wanted: Limits,
  signal: AbortSignal,
): Promise<Limits> {
  if (!limits) throw hasItsTask(id);
  const stuck = runtimeTraits(runtime).fixedLimits.find((name) => limits[name] !== wanted[name]);
  if (stuck !== undefined)
    throw new ExecutorError("internal", `sandbox ${id.slice(0, 12)}: ${stuck} is ${limits[stuck]} and stays so`);
  const [before, after] = [changeableConfig(limits, runtime), changeableConfig(wanted, runtime)];
  if (!isDeepStrictEqual(before, after)) await engine.update(id, after, signal);
  return wanted;
}

/** 128 + SIGKILL: what a container that ran out of memory ends with, and many another. */
const killedExitCode = 137;
/** How long the engine may take to say that memory ran out. Seen: 130 ms after the container's end, with four at once. */
const lateOomMs = 1_000;

/** The task's own limits inside the container. */
function startLimits(limits: Limits): StartLimits {
  return {
    nproc: limits.pids,
    nofile: openFilesLimit,
    fsizeBytes: fileSizeLimitBytes(limits),
    memoryBytes: limits.memory_mb * bytesPerMb,
  };
}

/** What the engine knows of a container that said no `end`. A container still there by now is ended. */
async function lastWords(engine: Engine, id: string, link: SandboxLink, why: string): Promise<SandboxGone> {
  const none = new AbortController().signal;
  await engine.kill(id, none).catch(() => undefined);
  const end = await engine.inspect(id, none).catch(() => null);
  const wasKilled = end?.exitCode === killedExitCode;
  const printed = link.diagnosis().trim();
  return {
    oomKilled: end !== null && (end.oomKilled || (wasKilled && (await engine.toldOom(id, lateOomMs)))),
    exitCode: end && !end.running ? end.exitCode : null,
    diagnosis: printed ? `${why}; it printed: ${printed}` : why,
  };
}
