import type Dockerode from "dockerode";
import { ExecutorError } from "../../model/failure.ts";
import { quoted } from "../../model/quoted.ts";
import type { OwnImage } from "../../ports/own-images.ts";
import { engineCall } from "./engine-call.ts";
import { imageDeclarations, volumeMounts } from "./image-declarations.ts";
import { inspectImage, listUntagged, removeImage, removeImageAlone } from "./image-engine.ts";
import { imageReference, ownRepository, stageLabel } from "./image-names.ts";
import { hashInputs } from "./image-recipe.ts";
import { buildStep } from "./image-step.ts";
import { ownImageFiles } from "./own-image-recipe.ts";
import { parsePrewarm, prewarmLabel, prewarmWords } from "./prewarm.ts";

/** An image of this engine that can be derived from. */
export interface SourceImage {
  /** As it was asked for. */
  readonly reference: string;
  readonly id: string;
  /** Its `VOLUME` paths. */
  readonly volumes: readonly string[];
  /** Whether it has `ONBUILD` triggers, which a build on it would run. */
  readonly hasTriggers: boolean;
}

const callTimeoutMs = 60_000;

/**
 * Looks an image up, by reference or ID; nothing is pulled.
 * @throws ExecutorError validation, when there is none or it can never run here · image, when the engine does not answer or a
 * volume of the image lies over a place the sandbox needs.
 */
export async function findSource(docker: Dockerode, reference: string, signal: AbortSignal): Promise<SourceImage> {
  const [image, engine] = await Promise.all([
    inspectImage(docker, reference, signal),
    engineCall("ask the engine's version", callTimeoutMs, () => docker.version(), signal),
  ]);
  if (image === null) {
    throw new ExecutorError("validation", `no image ${quoted(reference)} on this engine`, {
      hint: "bring it there first, with docker pull, docker load or docker build; toolx images add never pulls",
    });
  }
  if (image.Os !== engine.Os || image.Architecture !== engine.Arch) {
    const made = `${image.Os}/${image.Architecture}`;
    throw new ExecutorError(
      "validation",
      `image ${quoted(reference)} is made for ${made}; allowed: ${engine.Os}/${engine.Arch}`,
    );
  }
  const { volumes } = imageDeclarations(image);
  volumeMounts(volumes);
  requirePrewarm(image.Config?.Labels ?? {}, reference);
  const triggers: unknown = image.Config?.OnBuild;
  return { reference, id: image.Id, volumes, hasTriggers: Array.isArray(triggers) && triggers.length > 0 };
}

/** @throws ExecutorError validation, for a label that would be passed over later. */
function requirePrewarm(labels: Readonly<Record<string, string>>, reference: string): void {
  if (labels[prewarmLabel] === undefined || parsePrewarm(labels) !== null) return;
  throw new ExecutorError("validation", `image ${quoted(reference)}: label ${prewarmLabel}: allowed: ${prewarmWords}`);
}

/**
 * Puts sandbox-init into an image, as one layer on top of its own, and answers the derived image's ID. No program of the
 * image is run. A copy of its files is made on the engine for the time of the build.
 * @throws ExecutorError image, with nothing left behind.
 */
export async function buildOwnImage(
  docker: Dockerode,
  name: string,
  source: SourceImage,
  baseId: string,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const inputs = hashInputs(JSON.stringify([name, source.id, baseId]), []);
  const version = { repository: ownRepository, name: ownName(name), inputs };
  const stage = `own-${inputs.slice(0, 12)}`;
  const parentId = source.hasTriggers ? await withoutTriggers(docker, source, signal) : source.id;
  try {
    const files = ownImageFiles({ name, sourceId: source.id, parentId, baseId, stage });
    const step = { ...version, files, caFiles: [], target: null, buildArguments: {}, useCache: true, labelled: false };
    await buildStep(docker, { ...step, isOffline: true }, tell, signal);
    const made = await inspectImage(docker, imageReference(version), signal);
    if (made === null) throw new ExecutorError("image", `the engine has no ${imageReference(version)} after its build`);
    return made.Id;
  } catch (error) {
    if (source.hasTriggers) await quietly(removeImageAlone(docker, parentId, unasked));
    throw error;
  } finally {
    for (const { Id } of await listUntagged(docker, `${stageLabel}=${stage}`, unasked))
      await quietly(removeImage(docker, Id, unasked));
  }
}

/**
 * Takes a derived image off the engine, and never its source; false when it stays, because a container still uses it.
 * @throws ExecutorError image, when the engine does not answer.
 */
export async function removeOwnImage(
  docker: Dockerode,
  { name, id, sourceId }: Pick<OwnImage, "name" | "id" | "sourceId">,
  signal: AbortSignal,
): Promise<boolean> {
  const steps = await buildSteps(docker, id, sourceId, signal);
  const tags = steps[0]?.RepoTags ?? [];
  const own = tags.filter((tag) => tag.startsWith(`${ownRepository}/${ownName(name)}:`));
  for (const reference of own) await quietly(removeImageAlone(docker, reference, signal));
  // One by one, from the last: left to itself the engine would go on and take a source that has no tag along.
  for (const { Id } of steps) await quietly(removeImageAlone(docker, Id, signal));
  return (await inspectImage(docker, id, signal)) === null;
}

/** What the engine keeps of a build, from its last step down to the first after the source. */
async function buildSteps(
  docker: Dockerode,
  id: string,
  sourceId: string,
  signal: AbortSignal,
): Promise<readonly Dockerode.ImageInspectInfo[]> {
  const steps: Dockerode.ImageInspectInfo[] = [];
  for (let at = id; at !== "" && at !== sourceId; ) {
    const image = await inspectImage(docker, at, signal);
    if (image === null) break;
    steps.push(image);
    at = image.Parent;
  }
  return steps;
}

/** Its name in the engine, which no image that comes with the program can have. */
const ownName = (name: string): string => `own-${name}`;

/**
 * The same layers without build triggers: those of an image are no part of its containers, so a container that is never started
 * becomes the image to build on.
 */
async function withoutTriggers(docker: Dockerode, source: SourceImage, signal: AbortSignal): Promise<string> {
  const container = await engineCall(
    `engine: create a container of ${source.id}`,
    callTimeoutMs,
    (abortSignal) =>
      docker.createContainer({
        Image: source.id,
        Entrypoint: ["/sbin/sandbox-init"],
        Cmd: [],
        WorkingDir: "/",
        NetworkDisabled: true,
        // Over its volumes, or the engine would make one of each and fill it.
        HostConfig: { NetworkMode: "none", Mounts: volumeMounts(source.volumes) },
        abortSignal,
      }),
    signal,
    "image",
  );
  try {
    return await engineCall(
      `engine: take the build triggers from ${source.id}`,
      callTimeoutMs,
      async (abortSignal) => {
        const made: { readonly Id: string } = await container.commit({ abortSignal });
        return made.Id;
      },
      signal,
      "image",
    );
  } finally {
    await container.remove({ force: true, v: true });
  }
}

// What is tidied away goes, however the rest ended.
const unasked: AbortSignal = new AbortController().signal;

async function quietly(removal: Promise<void>): Promise<void> {
  await removal.catch(() => undefined);
}
