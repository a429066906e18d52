import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import type Dockerode from "dockerode";
import { buildImages } from "../adapters/docker/image-build.ts";
import { ownRepository } from "../adapters/docker/image-names.ts";
import { smokeTest } from "../adapters/docker/image-smoke.ts";
import { type LocalImage, listAdded, listImages } from "../adapters/docker/images.ts";
import { ownImagesOf } from "../app/house.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";

export interface ImagesBuildFlags {
  /** Build what is up to date too, on a fresh Debian. */
  readonly force: boolean;
  /** Smoke-test what is up to date too; what was built is tested in any case. */
  readonly check: boolean;
}

/**
 * `toolx images build`: makes what is out of date, all of it where `names` is empty. Says nothing where nothing is to do.
 * @throws ExecutorError validation | image
 */
export async function imagesBuild(
  context: CliContext,
  docker: Dockerode,
  names: readonly string[],
  flags: ImagesBuildFlags,
): Promise<void> {
  const { io } = context;
  const { baseImage, extraCaDir, install } = context.config();
  const startedAt = performance.now();
  const tell = (image: string, message: string): void => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    say(io, `images ${seconds.padStart(3)} s  ${image}: ${message}`);
  };
  const options = {
    repository: ownRepository,
    imagesDir: imagesDir(context),
    baseImage,
    extraCaDir,
    mayInstall: () => mayInstall(context, install, "mmdebstrap"),
    force: flags.force,
  };
  const onProgress = ({ image, message }: { readonly image: string; readonly message: string }): void =>
    tell(image, message);
  for (const image of await buildImages(docker, names, options, onProgress, io.interrupt)) {
    if (!flags.check && !image.built) continue;
    await smokeTest(docker, image, image.smokeTest, io.interrupt);
    tell(image.name, "smoke test passed");
  }
}

/** `toolx images ls`: every image that can be built or was added, and what the engine has of it. */
export async function imagesLs(context: CliContext, docker: Dockerode, json: boolean): Promise<void> {
  const { io } = context;
  const config = context.config();
  const built = await listImages(docker, imagesDir(context), config.baseImage, io.interrupt);
  const baseId = built.find(({ name }) => name === "base")?.id ?? null;
  const added = await listAdded(docker, ownImagesOf(config), baseId, io.interrupt);
  const images = [...built.map((image) => ({ ...image, source: null })), ...added];
  if (json) return await written(io.stdout, `${JSON.stringify(images)}\n`);
  await written(io.stdout, table([["NAME", "STATE", "SIZE", "BUILT", "ID", "ADDED FROM"], ...images.map(row)]));
}

const imagesDir = (context: CliContext): string => join(context.programDir, "sandbox-images");

function row(image: LocalImage & { readonly source: string | null }): readonly string[] {
  const missing = image.source === null ? "not built" : "gone";
  const state = image.id === null ? missing : image.upToDate ? "up to date" : "out of date";
  const size = image.sizeBytes === null ? "-" : `${(image.sizeBytes / 1e6).toFixed(0)} MB`;
  const built = image.createdAt === null ? "-" : new Date(image.createdAt).toISOString().slice(0, 16).replace("T", " ");
  return [image.name, state, size, built, image.id ?? "-", image.source ?? "-"];
}

/** By the setting TOOL_EXECUTOR_INSTALL: `ask` asks where there is a terminal, and goes ahead where there is none. */
async function mayInstall({ io }: CliContext, install: "ask" | "yes" | "no", packages: string): Promise<boolean> {
  if (install !== "ask") return install === "yes";
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true) return true;
  const terminal = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const question = `Install ${packages} on this machine with apt-get? [y/N] `;
    return /^y(es)?$/i.test((await terminal.question(question, { signal: io.interrupt })).trim());
  } finally {
    terminal.close();
  }
}
