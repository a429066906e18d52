import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { Image, Images } from "../../ports/sandbox.ts";
import { defaultEngineDeadlines } from "./engine.ts";
import { unanswered } from "./engine-call.ts";
import { inspectImage, listRepository } from "./image-engine.ts";
import { keptImageEnv } from "./image-env.ts";
import { imageLabel, imageReference, ownRepository } from "./image-names.ts";
import { readRecipes } from "./image-recipe.ts";

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
 * image may be built or removed while we run.
 */
export function localImages(
  docker: Dockerode,
  allowed: readonly string[],
  repository = ownRepository,
  lookUpMs = defaultEngineDeadlines.inspectMs,
): Images {
  return {
    async resolve(name, caller): Promise<Image | null> {
      if (!allowed.includes(name)) return null;
      // A task waits for this: the patience of a build is not for here.
      using limit = deadline(caller, lookUpMs, unanswered(`image ${name}`, lookUpMs));
      const { signal } = limit;
      const [newest] = await listRepository(docker, `${repository}/${name}`, signal);
      const image = newest === undefined ? null : await inspectImage(docker, newest.Id, signal);
      // A tag can be given to anything by hand; the label was put there by the build.
      if (image === null || image.Config.Labels?.[imageLabel] !== name) {
        throw new ExecutorError("image", `image ${name} is not built on this engine`, {
          hint: `build it with: toolx images build ${name}`,
        });
      }
      return { name, id: image.Id, env: keptImageEnv(environment(image.Config.Env ?? [])) };
    },
    names: () => allowed,
  };
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

/** `NAME=value` lines as a record; a name without a value is empty. */
function environment(lines: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
