import type Dockerode from "dockerode";
import { engineCall, statusOf } from "./engine-call.ts";

// Generous, because an engine in the middle of a build answers everything late.
const callTimeoutMs = 30_000;

/**
 * What the engine knows of an image, by reference or ID; `null` when it has no such image. Never pulls.
 * @throws ExecutorError image, when the engine does not answer.
 */
export async function inspectImage(
  docker: Dockerode,
  reference: string,
  signal: AbortSignal,
): Promise<Dockerode.ImageInspectInfo | null> {
  return await imageCall(`look up image ${reference}`, signal, async () => {
    try {
      return await docker.getImage(reference).inspect();
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  });
}

/**
 * The tagged images of one repository, such as `tool-executor/python`, the newest first.
 * @throws ExecutorError image, when the engine does not answer.
 */
export async function listRepository(
  docker: Dockerode,
  repository: string,
  signal: AbortSignal,
): Promise<readonly Dockerode.ImageInfo[]> {
  const found = await imageCall(`list images of ${repository}`, signal, (abortSignal) =>
    docker.listImages({ filters: { reference: [repository] }, abortSignal }),
  );
  return found.toSorted((a, b) => b.Created - a.Created);
}

/**
 * The untagged images that carry a label, the newest first.
 * @throws ExecutorError image, when the engine does not answer.
 */
export async function listUntagged(
  docker: Dockerode,
  label: string,
  signal: AbortSignal,
): Promise<readonly Dockerode.ImageInfo[]> {
  const found = await imageCall(`list untagged images with label ${label}`, signal, (abortSignal) =>
    docker.listImages({ filters: { label: [label], dangling: ["true"] }, abortSignal }),
  );
  return found.toSorted((a, b) => b.Created - a.Created);
}

/**
 * Takes one tag away, and the image with its last tag; an ID takes the image itself.
 * @throws ExecutorError image, when the engine refuses, as it does while a container runs from it.
 */
export async function removeImage(docker: Dockerode, reference: string, signal: AbortSignal): Promise<void> {
  await imageCall(`remove image ${reference}`, signal, (abortSignal) =>
    docker.getImage(reference).remove({ abortSignal }),
  );
}

/**
 * The same, but what the image was made from stays, even where it has no tag.
 * @throws ExecutorError image, when the engine refuses, as it does while a container runs from it or an image is built on it.
 */
export async function removeImageAlone(docker: Dockerode, reference: string, signal: AbortSignal): Promise<void> {
  await imageCall(`remove image ${reference}`, signal, (abortSignal) =>
    docker.getImage(reference).remove({ noprune: true, abortSignal }),
  );
}

const imageCall = <T>(what: string, signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> =>
  engineCall(`engine: ${what}`, callTimeoutMs, call, signal, "image");
