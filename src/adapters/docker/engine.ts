import type Dockerode from "dockerode";
import { type AttachEvents, type AttachedStream, attachStream } from "./attach.ts";
import { engineCall, unlessStatus } from "./engine-call.ts";

/** How long one call to the engine may take before it counts as failed. */
export interface EngineDeadlines {
  readonly createMs: number;
  readonly startMs: number;
  readonly attachMs: number;
  readonly killMs: number;
  readonly inspectMs: number;
  readonly removeMs: number;
}

export const defaultEngineDeadlines: EngineDeadlines = {
  createMs: 10_000,
  startMs: 10_000,
  attachMs: 10_000,
  killMs: 5_000,
  inspectMs: 3_000,
  removeMs: 10_000,
};

/** What the engine says of one container, mostly of its end. */
export interface ContainerEnd {
  readonly runtime: string;
  readonly exitCode: number | null;
  readonly oomKilled: boolean;
  readonly running: boolean;
  /** Of its first process, as the engine's machine numbers it; null when it does not run. */
  readonly pid: number | null;
}

/** In the engine's words and units. */
export interface ChangedLimits {
  readonly Memory: number;
  readonly MemorySwap: number;
  readonly NanoCpus: number;
  readonly PidsLimit: number;
}

/**
 * The few calls of the engine's API that a sandbox needs, each with a deadline.
 * @throws ExecutorError sandbox, naming the call, the container and what the engine answered.
 */
export interface Engine {
  create(options: Dockerode.ContainerCreateOptions, signal: AbortSignal): Promise<string>;
  /** The attached streams, without the output of before the attach. */
  attach(id: string, events: AttachEvents, signal: AbortSignal): Promise<AttachedStream>;
  start(id: string, signal: AbortSignal): Promise<void>;
  /** Sets limits of a running container; those that are not named stay. */
  update(id: string, limits: ChangedLimits, signal: AbortSignal): Promise<void>;
  /** Null when there is no such container. */
  inspect(id: string, signal: AbortSignal): Promise<ContainerEnd | null>;
  /** SIGKILL to the whole container; one that has ended already is no error. */
  kill(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Whether the engine has told, or tells within `waitMs`, that memory ran out in this container. Its word may come after the
   * container's end, and then it is in no answer of `inspect`. False as well when the engine does not answer.
   */
  toldOom(id: string, waitMs: number): Promise<boolean>;
  /** By id or name, running or not, with its anonymous volumes; one that is gone is no error. */
  remove(idOrName: string, signal: AbortSignal): Promise<void>;
}

export function engine(docker: Dockerode, deadlines: EngineDeadlines): Engine {
  const named = (verb: string, id: string): string => `engine: ${verb} ${id.slice(0, 24)}`;
  return {
    create: (options, signal) =>
      engineCall(
        named("create", options.name ?? ""),
        deadlines.createMs,
        async (abortSignal) => (await docker.createContainer({ ...options, abortSignal })).id,
        signal,
      ),
    attach: (id, events, signal) =>
      engineCall(
        named("attach", id),
        deadlines.attachMs,
        (abortSignal) => attachStream(docker, id, events, abortSignal),
        signal,
      ),
    start: (id, signal) =>
      engineCall(
        named("start", id),
        deadlines.startMs,
        async (abortSignal) => void (await docker.getContainer(id).start({ abortSignal })),
        signal,
      ),
    update: (id, limits, signal) =>
      engineCall(
        named("update", id),
        // A task waits for it, and has another way where it is late.
        deadlines.inspectMs,
        async (abortSignal) => void (await docker.getContainer(id).update({ ...limits, abortSignal })),
        signal,
      ),
    inspect: (id, signal) =>
      engineCall(
        named("inspect", id),
        deadlines.inspectMs,
        (abortSignal) =>
          unlessStatus([404], async () => {
            const { State, HostConfig } = await docker.getContainer(id).inspect({ abortSignal });
            const { ExitCode: exitCode, OOMKilled: oomKilled, Running: running, Pid: pid } = State;
            return { runtime: HostConfig.Runtime ?? "runc", exitCode, oomKilled, running, pid: pid > 0 ? pid : null };
          }),
        signal,
      ),
    kill: (id, signal) =>
      engineCall(
        named("kill", id),
        deadlines.killMs,
        // 409: it is not running, which is what was wanted.
        async (abortSignal) =>
          void (await unlessStatus([404, 409], () => docker.getContainer(id).kill({ signal: "SIGKILL", abortSignal }))),
        signal,
      ),
    toldOom: (id, waitMs) => toldOom(docker, id, waitMs),
    remove: (id, signal) =>
      engineCall(
        named("remove", id),
        deadlines.removeMs,
        // 409: another removal of the same container is under way.
        async (abortSignal) =>
          void (await unlessStatus([404, 409], () =>
            docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
          )),
        signal,
      ),
  };
}

/** `since` makes the engine begin with what it still knows, so that it is all the same which comes first, the event or the question. */
async function toldOom(docker: Dockerode, id: string, waitMs: number): Promise<boolean> {
  const abortSignal = AbortSignal.timeout(waitMs);
  try {
    const events = await docker.getEvents({ since: 0, filters: { container: [id], event: ["oom"] }, abortSignal });
    for await (const _event of events) return true;
  } catch {
    // Nothing was heard in time.
  }
  return false;
}
