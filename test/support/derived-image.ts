import { Readable } from "node:stream";
import type Dockerode from "dockerode";
import tar from "tar-stream";
import { imageLabel } from "../../src/adapters/docker/image-names.ts";

/** An image of a test's own, untagged, gone after dispose. */
export interface DerivedImage extends AsyncDisposable {
  readonly id: string;
}

/** Builds what `lines` of a Dockerfile make of an image. */
export async function derivedImage(
  docker: Dockerode,
  parentId: string,
  lines: readonly string[],
): Promise<DerivedImage> {
  const context = tar.pack();
  // Nobody may take it for the image it stands on.
  context.entry({ name: "Dockerfile" }, [`FROM ${parentId}`, `LABEL ${imageLabel}=""`, ...lines].join("\n"));
  context.finalize();
  const answer = await docker.buildImage(Readable.from(context), { forcerm: true, nocache: true });
  const messages = await new Promise<readonly { readonly aux?: { readonly ID?: string }; readonly error?: string }[]>(
    (resolve, reject) => {
      docker.modem.followProgress(answer, (error, all) => (error ? reject(error) : resolve(all)));
    },
  );
  const id = messages.findLast(({ aux }) => aux?.ID !== undefined)?.aux?.ID;
  if (id === undefined) throw new Error(`no image came of it: ${JSON.stringify(messages.at(-1))}`);
  return {
    id,
    async [Symbol.asyncDispose]() {
      await docker.getImage(id).remove({ force: true });
    },
  };
}
