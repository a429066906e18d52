import type Dockerode from "dockerode";
import { ExecutorError } from "../../model/failure.ts";
import { type BaseImageOptions, debianRoot } from "./base-image.ts";
import { readCaFiles } from "./image-context.ts";
import { inspectImage, listRepository, listUntagged, removeImage } from "./image-engine.ts";
import { fetchName, imageReference, openName, stageLabel } from "./image-names.ts";
import { type ContextFile, type ImageRecipe, type ImageRecipes, readRecipes } from "./image-recipe.ts";
import { buildStep } from "./image-step.ts";

export interface ImageBuildOptions extends Omit<BaseImageOptions, "fresh"> {
  /** What the images' names begin with, without a closing slash. */
  readonly repository: string;
  /** The folder with one folder an image. */
  readonly imagesDir: string;
  /** CA certificates (`*.crt`) that build stages trust besides Debian's; final images never hold them. */
  readonly extraCaDir: string | null;
  /** Build what is up to date too, from a fresh Debian root and without the engine's cache. */
  readonly force: boolean;
}

/** Something worth telling while one image is made. */
export interface ImageProgress {
  readonly image: string;
  readonly message: string;
}

/** An image of ours on this engine. `built`: made by this call, not found. */
export interface BuiltImage {
  readonly name: string;
  readonly id: string;
  readonly inputs: string;
  /** The shell script that shows the image to be what it promises. */
  readonly smokeTest: string;
  readonly built: boolean;
}

/**
 * Makes the named images, or all when `names` is empty, and the base they stand on; what is up to date is only looked
 * up. Earlier versions of the same images are removed afterwards, unless something still uses them.
 * @throws ExecutorError validation, for a name that has no folder · image, for a build that failed; the images made
 * before it stay.
 */
export async function buildImages(
  docker: Dockerode,
  names: readonly string[],
  options: ImageBuildOptions,
  onProgress: (progress: ImageProgress) => void,
  signal: AbortSignal,
): Promise<readonly BuiltImage[]> {
  const recipes = await readRecipes(options.imagesDir, options.baseImage);
  const wanted = wantedRecipes(recipes, names);
  const found = await Promise.all(
    wanted.map((recipe) => (options.force ? null : findImage(docker, recipes, recipe, options, signal))),
  );
  if (!found.includes(null)) return wanted.map((recipe, at) => imageOf(recipe, found[at] ?? "", false));

  const engineBuild = await prepareBuild(docker, recipes.base, options, onProgress, signal);
  const images: BuiltImage[] = [];
  for (const [at, recipe] of wanted.entries()) {
    const id = found[at] ?? null;
    images.push(imageOf(recipe, id ?? (await makeImage(engineBuild, recipes, recipe, signal)), id === null));
  }
  await removeEarlier(docker, recipes, wanted, options, signal);
  await removeEarlierStages(docker, signal);
  return images;
}

/**
 * Builds one stage of the base image's Dockerfile as an image of its own, without a label; answers its reference.
 * For what needs the tools that the images are built with, such as the tests of the init program.
 * @throws ExecutorError image
 */
export async function buildStage(
  docker: Dockerode,
  stage: string,
  options: ImageBuildOptions,
  onProgress: (progress: ImageProgress) => void,
  signal: AbortSignal,
): Promise<string> {
  const { base } = await readRecipes(options.imagesDir, options.baseImage);
  const { repository, caFiles, debianRootId } = await prepareBuild(docker, base, options, onProgress, signal);
  const version = { repository, name: `${base.name}-${stage}`, inputs: base.inputs };
  const step = { ...version, files: base.files, caFiles, target: stage, buildArguments: { BASE: debianRootId } };
  const tell = (message: string): void => onProgress({ image: version.name, message });
  await buildStep(docker, { ...step, useCache: true, labelled: false }, tell, signal);
  return imageReference(version);
}

function imageOf({ name, inputs, smokeTest }: ImageRecipe, id: string, built: boolean): BuiltImage {
  return { name, id, inputs, smokeTest, built };
}

function wantedRecipes({ base, others }: ImageRecipes, names: readonly string[]): readonly ImageRecipe[] {
  const known = [base, ...others].map((recipe) => recipe.name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ExecutorError("validation", `no image is called "${unknown}"; there are ${known.join(", ")}`);
  }
  return [base, ...others.filter((recipe) => names.length === 0 || names.includes(recipe.name))];
}

/** The ID of the image this recipe makes; `null` unless all that belongs to it is there. */
async function findImage(
  docker: Dockerode,
  { base }: ImageRecipes,
  { name, inputs }: ImageRecipe,
  { repository }: ImageBuildOptions,
  signal: AbortSignal,
): Promise<string | null> {
  const image = await inspectImage(docker, imageReference({ repository, name, inputs }), signal);
  if (name !== base.name || image === null) return image?.Id ?? null;
  const open = await inspectImage(docker, imageReference({ repository, name: openName(name), inputs }), signal);
  return open === null ? null : image.Id;
}

/** What all builds of one call share. */
interface EngineBuild {
  readonly docker: Dockerode;
  readonly repository: string;
  readonly caFiles: readonly ContextFile[];
  readonly debianRootId: string;
  readonly onProgress: (progress: ImageProgress) => void;
}

/** Finds or makes the Debian root and, on it, the stage that every build gets its packages with. */
async function prepareBuild(
  docker: Dockerode,
  base: ImageRecipe,
  options: ImageBuildOptions,
  onProgress: (progress: ImageProgress) => void,
  signal: AbortSignal,
): Promise<EngineBuild> {
  const tell = (message: string): void => onProgress({ image: base.name, message });
  const { repository } = options;
  const caFiles = await readCaFiles(options.extraCaDir);
  const debianRootId = await debianRoot(docker, { ...options, fresh: options.force }, tell, signal);
  // Even when only another image is out of date: the certificates may have changed since, and they are no input.
  await buildStep(
    docker,
    {
      ...base,
      repository,
      name: fetchName(base.name),
      caFiles,
      target: "fetch",
      buildArguments: { BASE: debianRootId },
      // All others may use the cache: whatever stands on a new parent is not in it.
      useCache: !options.force,
      labelled: false,
    },
    tell,
    signal,
  );
  return { docker, repository, caFiles, debianRootId, onProgress };
}

async function makeImage(
  { docker, repository, caFiles, debianRootId, onProgress }: EngineBuild,
  { base }: ImageRecipes,
  recipe: ImageRecipe,
  signal: AbortSignal,
): Promise<string> {
  const startedAt = performance.now();
  const { name, inputs } = recipe;
  const tell = (message: string): void => onProgress({ image: name, message });
  const step = { ...recipe, repository, caFiles, useCache: true, labelled: true };
  if (recipe === base) {
    const buildArguments = { BASE: debianRootId };
    const open = { ...step, name: openName(name), target: "open", buildArguments, labelled: false };
    await buildStep(docker, open, tell, signal);
    // Silent: it is the build just done, one stage further.
    await buildStep(docker, { ...step, target: "sealed", buildArguments }, () => {}, signal);
  } else {
    const buildArguments = {
      FETCH: imageReference({ ...base, repository, name: fetchName(base.name) }),
      PARENT: imageReference({ ...base, repository, name: openName(base.name) }),
    };
    await buildStep(docker, { ...step, target: null, buildArguments }, tell, signal);
  }
  const reference = imageReference({ repository, name, inputs });
  const made = await inspectImage(docker, reference, signal);
  if (made === null) throw new ExecutorError("image", `the engine has no ${reference} after its build`);
  tell(`built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s, ${(made.Size / 1e6).toFixed(0)} MB`);
  return made.Id;
}

/** What a container still runs from is refused by the engine and stays for the next time. */
async function removeEarlier(
  docker: Dockerode,
  { base }: ImageRecipes,
  wanted: readonly ImageRecipe[],
  { repository }: ImageBuildOptions,
  signal: AbortSignal,
): Promise<void> {
  const versions = wanted.flatMap(({ name, inputs }) => {
    const names = name === base.name ? [fetchName(name), openName(name), name] : [name];
    return names.map((each) => ({ repository, name: each, inputs }));
  });
  // The base last: its earlier version can go only once nothing is built on it.
  for (const version of versions.toReversed()) {
    const found = await listRepository(docker, `${repository}/${version.name}`, signal);
    const tags = found.flatMap((image) => image.RepoTags ?? []);
    for (const tag of tags.filter((tag) => tag !== imageReference(version))) {
      await removeImage(docker, tag, signal).catch(() => signal.throwIfAborted());
    }
  }
}

/** The newest of each stage stays: it is what makes the next build short. */
async function removeEarlierStages(docker: Dockerode, signal: AbortSignal): Promise<void> {
  const kept = new Set<string>();
  for (const { Id, Labels } of await listUntagged(docker, stageLabel, signal)) {
    const stage = Labels?.[stageLabel] ?? "";
    if (kept.has(stage)) await removeImage(docker, Id, signal).catch(() => signal.throwIfAborted());
    kept.add(stage);
  }
}
