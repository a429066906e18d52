import { type AddRequest, addImage, forgetImage } from "../app/own-images.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";

/** `toolx images add`. @throws ExecutorError validation | image */
export async function imagesAdd(context: CliContext, request: AddRequest, json: boolean): Promise<void> {
  const { io } = context;
  const startedAt = performance.now();
  const tell = (message: string): void => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    say(io, `images ${seconds.padStart(3)} s  ${request.reference}: ${message}`);
  };
  const image = await addImage(context.config(), request, tell, io.interrupt);
  if (json) return await written(io.stdout, `${JSON.stringify(image)}\n`);
  await written(io.stdout, `${image.name}  ${image.id}\n`);
  say(io, `a request may now name it: toolx run shell --image ${image.name} -- PROGRAM ARG…`);
}

/** `toolx images rm`. @throws ExecutorError validation | image */
export async function imagesRm(context: CliContext, name: string): Promise<void> {
  const { io } = context;
  const isGone = await forgetImage(context.config(), name, io.interrupt);
  say(io, isGone ? `removed ${name}` : `removed ${name} from the list; a container still uses the image on the engine`);
}
