import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { Owner } from "../../model/owner.ts";
import { quoted } from "../../model/quoted.ts";
import { sandboxEnvironment } from "../../model/sandbox-environment.ts";
import type { Sandbox, Sandboxes, SandboxSpec } from "../../ports/sandbox.ts";
import { openDockerSandbox } from "./docker-sandbox.ts";
import { type Doors, doors } from "./door.ts";
import { defaultEngineDeadlines, type EngineDeadlines, engine as engineOf } from "./engine.ts";
import { statusOf, unanswered } from "./engine-call.ts";
import { engineFacts } from "./engine-facts.ts";
import { createOptions, randomIdentity } from "./host-config.ts";
import { type ImageDeclarations, imageDeclarations } from "./image-declarations.ts";
import { inspectImage } from "./image-engine.ts";
import { removals } from "./removals.ts";
import { plainRuntimes, runtimeTraits } from "./runtimes.ts";
import { seccompProfile } from "./seccomp.ts";
import { turnstile } from "./turnstile.ts";

export interface DockerSandboxesOptions {
  /** Whose containers these are: stands in their labels. */
  readonly owner: Owner;
  readonly architecture: string;
  readonly deadlines?: EngineDeadlines;
  /** Processors that sandboxes run on, such as `1-3,6`; not there or empty: all of them. */
  readonly cpuset?: string;
  /** Whether sandboxes are spoken to past the engine, where that can be; not there: yes. */
  readonly direct?: boolean;
}

/**
 * More containers that are started at once make each start slower and all of them no faster: two cores make most of them in a second with
 * four at once, and with two hundred an engine answers nobody in time.
 */
const startsAtOnce = (): number => Math.max(4, 2 * availableParallelism());

/** Sandboxes as containers of one engine. Dispose tries once more to remove what the engine did not let go of. */
export function dockerSandboxes(docker: Dockerode, options: DockerSandboxesOptions): Sandboxes & AsyncDisposable {
  const deadlines = options.deadlines ?? defaultEngineDeadlines;
  const engine = engineOf(docker, deadlines);
  const taken = removals(engine);
  const declarations = declarationsById(docker, deadlines.inspectMs);
  const starts = turnstile(startsAtOnce());
  const doorsByRuntime = new Map<string, Doors>();
  const doorsOf = (runtime: string): Doors => {
    const known =
      doorsByRuntime.get(runtime) ?? doors(options.direct !== false && runtimeTraits(runtime).isSeenFromHost);
    doorsByRuntime.set(runtime, known);
    return known;
  };

  const containerOptions = async (spec: SandboxSpec, signal: AbortSignal): Promise<Dockerode.ContainerCreateOptions> =>
    createOptions(spec, randomIdentity(), {
      labels: { owner: options.owner, pool: spec.purpose === "pool" ? "warm" : "cold", createdAt: Date.now() },
      seccomp: seccompProfile(spec.runtime, options.architecture),
      declared: await declarations(spec.image.id, signal),
      cpuset: options.cpuset ?? "",
    });

  /** Not broken off by a cancel: an engine that was asked makes the container whether anybody waits or not. */
  const created = async (request: Dockerode.ContainerCreateOptions, name: string): Promise<string> => {
    try {
      return await engine.create(request, new AbortController().signal);
    } catch (error) {
      if (statusOf(error) === null) await taken.takeBack(name);
      throw error;
    }
  };

  const made = async (spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> => {
    // A name of our own: a create whose answer never came can still be taken back.
    const name = `toolx-${randomBytes(8).toString("hex")}`;
    const request = { ...(await containerOptions(spec, signal)), name };
    const id = await created(request, name);
    try {
      const { runtime, limits, image } = spec;
      const prewarm = spec.purpose === "pool" ? (image.prewarm ?? null) : null;
      const prepared = prewarm && { prewarm, env: sandboxEnvironment(image.env) };
      const rehearses = spec.purpose === "pool" && runtimeTraits(runtime).startsFasterTwice;
      return await openDockerSandbox(
        { engine, removals: taken, id, runtime, limits, prepared, rehearses, doors: doorsOf(runtime) },
        signal,
      );
    } catch (error) {
      await taken.remove(id);
      throw error;
    }
  };

  return {
    create: (spec, signal) => starts.pass(() => made(spec, signal), signal),
    async attach({ sandboxId: id, token, lastSeq }, signal) {
      const found = await engine.inspect(id, signal);
      if (found === null)
        throw new ExecutorError("sandbox", `container ${id.slice(0, 12)} is no longer on this engine`);
      // An engine attaches to one that has ended, and waits for it to be started.
      if (!found.running) throw new ExecutorError("sandbox", `container ${id.slice(0, 12)} has ended`);
      const { runtime } = found;
      return openDockerSandbox({ engine, removals: taken, id, runtime, resume: { token, lastSeq } }, signal);
    },
    requireRuntime: runtimesOf(docker),
    standby(runtime) {
      const { fixedLimits, idleMemoryBytes } = runtimeTraits(runtime);
      return { fixedLimits, memoryBytes: idleMemoryBytes };
    },
    [Symbol.asyncDispose]: () => taken[Symbol.asyncDispose](),
  };
}

/** One that was there once is not asked for again: a sandbox that cannot be made for want of it says so itself. */
function runtimesOf(docker: Dockerode): (name: string, signal: AbortSignal) => Promise<void> {
  // Every engine brings runc.
  let known: readonly string[] = ["runc"];
  return async (name, signal) => {
    if (known.includes(name)) return;
    known = (await engineFacts(docker, signal)).runtimes;
    if (known.includes(name)) return;
    const message = `runtime ${quoted(name)}: this engine does not have it; it has ${plainRuntimes(known).join(", ")}`;
    throw new ExecutorError("policy_denied", message, {
      hint: "name one of those; `toolx doctor` says how to add another to the engine",
      details: [{ path: "/runtime", message }],
    });
  };
}

/** An image never changes under its ID, so the engine is asked once for each. */
function declarationsById(
  docker: Dockerode,
  lookUpMs: number,
): (id: string, signal: AbortSignal) => Promise<ImageDeclarations> {
  const known = new Map<string, ImageDeclarations>();
  return async (id, signal) => {
    const cached = known.get(id);
    if (cached) return cached;
    using limit = deadline(signal, lookUpMs, unanswered(`image ${id}`, lookUpMs));
    const image = await inspectImage(docker, id, limit.signal);
    if (!image) throw new ExecutorError("image", `image ${id} is no longer on this engine`);
    const found = imageDeclarations(image);
    known.set(id, found);
    return found;
  };
}
