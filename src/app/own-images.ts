import type Dockerode from "dockerode";
import { localImages } from "../adapters/docker/images.ts";
import { buildOwnImage, findSource, removeOwnImage } from "../adapters/docker/own-image-build.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import { imageNamePattern, imageNameWords, nameFromReference, referenceFault } from "../model/image-name.ts";
import { quoted } from "../model/quoted.ts";
import type { OwnImage } from "../ports/own-images.ts";
import type { Config } from "./config.ts";
import { builtInImages, dockerAt, ownImagesOf } from "./house.ts";
import { scratchHouse } from "./scratch-house.ts";

/** What shall be added, as somebody asks for it. */
export interface AddRequest {
  /** A reference or ID of an image on this engine. */
  readonly reference: string;
  /** Null: the last part of the reference. */
  readonly name: string | null;
  /** What is run in it to see that it works: one element is a line for bash, several are a program and its arguments. */
  readonly smoke: readonly string[];
}

/** What every image has after the build, whether or not there is a shell in it. */
const leastSmoke: readonly string[] = ["/sbin/sandbox-init", "version"];

/**
 * Derives an image that tasks can run in from any image of this engine, tries it as a task, and allows its name. An image that was
 * added under the same name before is replaced, and stays in use until then.
 * @throws ExecutorError validation · image, also when what was tried in it fails; the derived image is gone then.
 */
export async function addImage(
  config: Config,
  request: AddRequest,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<OwnImage> {
  const { reference } = request;
  const fault = referenceFault(reference);
  if (fault !== null) throw new ExecutorError("validation", fault);
  const name = allowedName(request);
  const docker = dockerAt(config.dockerHost);
  const source = await findSource(docker, reference, signal);
  const baseId = await currentBase(docker, signal);
  tell("looking through its files");
  const id = await buildOwnImage(docker, name, source, baseId, () => undefined, signal);
  const image: OwnImage = { name, id, source: reference, sourceId: source.id, baseId, addedAt: Date.now() };
  const added = ownImagesOf(config);
  const earlier = added.find(name);
  try {
    tell("trying it as a task");
    await smokeTest(config, image, request.smoke, signal);
    added.put(image);
  } catch (error) {
    if (earlier?.id !== id) await removeOwnImage(docker, image, new AbortController().signal);
    throw error;
  }
  if (earlier !== null && earlier.id !== id) await removeOwnImage(docker, earlier, signal);
  return image;
}

/**
 * Forgets an added image, so that no request may name it, then takes the derived image off the engine. False: the image stays there,
 * because a container uses it.
 * @throws ExecutorError validation, when no image with this name was added · image, when the engine does not answer.
 */
export async function forgetImage(config: Config, name: string, signal: AbortSignal): Promise<boolean> {
  const added = ownImagesOf(config);
  const record = added.find(name);
  if (record === null) {
    const names = added.names();
    const words = names.length === 0 ? "none was added" : `added are ${names.join(", ")}`;
    throw new ExecutorError("validation", `no added image is called ${quoted(name)}; ${words}`);
  }
  added.remove(name);
  return await removeOwnImage(dockerAt(config.dockerHost), record, signal);
}

/** The base image of ours that added images get their sandbox-init from. @throws ExecutorError image, when it is not built. */
async function currentBase(docker: Dockerode, signal: AbortSignal): Promise<string> {
  const base = await localImages(docker, ["base"]).resolve("base", signal);
  if (base === null) throw new ExecutorError("image", "the base image is not built", { hint: "toolx images build" });
  return base.id;
}

function allowedName({ reference, name: asked }: AddRequest): string {
  const name = asked ?? nameFromReference(reference);
  if (name === null) {
    throw new ExecutorError("validation", `image ${quoted(reference)} gives no name; allowed: ${imageNameWords}`, {
      hint: "give it one with --name",
    });
  }
  if (!imageNamePattern.test(name))
    throw new ExecutorError("validation", `--name is ${quoted(name)}; allowed: ${imageNameWords}`);
  const taken = ["base", ...builtInImages];
  if (!taken.includes(name)) return name;
  throw new ExecutorError("validation", `${name} is the name of an image that comes with the program`, {
    hint: `give another one with --name; taken are ${taken.join(", ")}`,
  });
}

const smokeSeconds = 60;

/** One task in the image, with the walls and limits that every task has. */
async function smokeTest(
  config: Config,
  image: OwnImage,
  smoke: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await using house = await scratchHouse(config, "images");
  ownImagesOf(house.config).put(image);
  const [line] = smoke;
  const argv = smoke.length === 0 ? leastSmoke : smoke;
  const task = house.parseTask({
    task_id: "smoke",
    tenant_id: "images",
    tool_name: "shell",
    payload: smoke.length === 1 ? { command: line } : { argv },
    image: image.name,
    limits: { timeout_seconds: Math.min(smokeSeconds, config.limitRules.timeout_seconds.max) },
  });
  const result = await submit(house.parts, task, { watcher: () => undefined, stdin: null }, signal);
  signal.throwIfAborted();
  if (result.reason === "ok") return;
  const said = (result.output.stderr + result.output.stdout).trim().split("\n").slice(-20).join("\n");
  const how = result.error?.message ?? result.reason;
  throw new ExecutorError("image", `image ${image.name} fails ${quoted(argv.join(" "))}: ${how}\n${said}`.trim());
}
