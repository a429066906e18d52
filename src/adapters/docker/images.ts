import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { OwnImages } from "../../ports/own-images.ts";
import type { Image, Images } from "../../ports/sandbox.ts";
import { defaultEngineDeadlines } from "./engine.ts";
import { unanswered } from "./engine-call.ts";
import { inspectImage, listRepository } from "./image-engine.ts";
import { keptImageEnv } from "./image-env.ts";
import { type ImageMemory, noMemory } from "./image-memory.ts";
import { imageLabel, imageReference, ownRepository } from "./image-names.ts";
import { readRecipes } from "./image-recipe.ts";
import { parsePrewarm } from "./prewarm.ts";

/** One image of ours as this engine has it. */
export interface LocalImage {
  readonly name: string;
  /** `null`: not built yet. */
  readonly id: string | null;
  readonly reference: string | null;
  readonly sizeBytes: number | null;
  readonly createdAt: number | null;
  /** Whether it was made from the files as they are now. */
  readonly upToDate: boolean;
}

/**
 * The images a task may run in: those of `allowed` that this engine holds. The engine is asked every time, because an
 * image may be built or removed while we run, unless `memory` hears of that.
 */
export function localImages(
  docker: Dockerode,
  allowed: readonly string[],
  repository = ownRepository,
  lookUpMs = defaultEngineDeadlines.inspectMs,
  memory = noMemory,
): Images {
  return {
    async resolve(name, caller): Promise<Image | null> {
      if (!allowed.includes(name)) return null;
      const place = `${repository}/${name}`;
      const look = async (): Promise<Image | null> => {
        // A task waits for this: the patience of a build is not for here.
        using limit = deadline(caller, lookUpMs, unanswered(`image ${name}`, lookUpMs));
        const found = await newestImage(docker, place, limit.signal);
        // A tag can be given to anything by hand; the label was put there by the build.
        return found?.Config.Labels?.[imageLabel] === name ? imageOf(name, found) : null;
      };
      const image = await memory.of(place, look);
      if (image === null) {
        throw new ExecutorError("image", `image ${name} is not built on this engine`, {
          hint: `build it with: toolx images build ${name}`,
        });
      }
      return image;
    },
    names: () => allowed,
  };
}

/**
 * The images that were added, each by the ID it had when it was tried: whoever may tag images on the engine cannot put another one
 * in its place.
 */
export function addedImages(docker: Dockerode, added: OwnImages, memory: ImageMemory = noMemory): Images {
  return {
    async resolve(name, signal): Promise<Image | null> {
      const record = added.find(name);
      if (record === null) return null;
      const look = async (): Promise<Image | null> => {
        const found = await inspectImage(docker, record.id, signal);
        return found && imageOf(name, found);
      };
      // By its name too: one image may have been added under two.
      const image = await memory.of(`${name} ${record.id}`, look);
      if (image === null) {
        throw new ExecutorError("image", `image ${name} (${record.id}) is no longer on this engine`, {
          hint: `add it again with: toolx images add ${record.source} --name ${name}`,
        });
      }
      return image;
    },
    names: () => added.names(),
  };
}

const imageOf = (name: string, { Id: id, Config }: Dockerode.ImageInspectInfo): Image => ({
  name,
  id,
  env: keptImageEnv(environment(Config?.Env ?? [])),
  prewarm: parsePrewarm(Config?.Labels ?? {}),
});

/** Both lists as one; a name that is in both means the first's. */
export function eitherImages(first: Images, second: Images): Images {
  return {
    resolve: async (name, signal) => (await first.resolve(name, signal)) ?? (await second.resolve(name, signal)),
    names: () => [...new Set([...first.names(), ...second.names()])],
  };
}

/** The list tells whole seconds only: of images made in the same one, each is asked for its exact time. */
async function newestImage(
  docker: Dockerode,
  repository: string,
  signal: AbortSignal,
): Promise<Dockerode.ImageInspectInfo | null> {
  const found = await listRepository(docker, repository, signal);
  const latest = found.filter(({ Created }) => Created === found[0]?.Created);
  const images = await Promise.all(latest.map(({ Id }) => inspectImage(docker, Id, signal)));
  return images.reduce(
    (newest, image) => (image && (!newest || madeAt(image) > madeAt(newest)) ? image : newest),
    null,
  );
}

/** Comparable as text: the engine leaves out zeros at the end of the fraction. */
function madeAt({ Created }: Dockerode.ImageInspectInfo): string {
  const [seconds = "", fraction = ""] = Created.replace(/Z$/, "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}`;
}

/** Every image that can be built from `imagesDir`, and what this engine has of it. */
export async function listImages(
  docker: Dockerode,
  imagesDir: string,
  baseImage: string,
  signal: AbortSignal,
): Promise<readonly LocalImage[]> {
  const { base, others } = await readRecipes(imagesDir, baseImage);
  return await Promise.all(
    [base, ...others].map(async ({ name, inputs }): Promise<LocalImage> => {
      const current = imageReference({ repository: ownRepository, name, inputs });
      const found = await listRepository(docker, `${ownRepository}/${name}`, signal);
      const image = found.find((each) => each.RepoTags?.includes(current)) ?? found[0];
      return {
        name,
        id: image?.Id ?? null,
        reference: image?.RepoTags?.[0] ?? null,
        sizeBytes: image?.Size ?? null,
        createdAt: image === undefined ? null : image.Created * 1000,
        upToDate: image?.RepoTags?.includes(current) ?? false,
      };
    }),
  );
}

/**
 * Every image that was added, and what this engine has of it. Up to date: it holds the sandbox-init of the base image `baseId`.
 * What has become of its source since is not looked at.
 */
export async function listAdded(
  docker: Dockerode,
  added: OwnImages,
  baseId: string | null,
  signal: AbortSignal,
): Promise<readonly (LocalImage & { readonly source: string })[]> {
  return await Promise.all(
    added.list().map(async (record) => {
      const image = await inspectImage(docker, record.id, signal);
      return {
        name: record.name,
        id: image?.Id ?? null,
        reference: image?.RepoTags?.[0] ?? null,
        sizeBytes: image?.Size ?? null,
        createdAt: image === null ? null : record.addedAt,
        upToDate: image !== null && record.baseId === baseId,
        source: record.source,
      };
    }),
  );
}

/** `NAME=value` lines as a record; a name without a value is empty. */
function environment(lines: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
