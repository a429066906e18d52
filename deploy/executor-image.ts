import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type Dockerode from "dockerode";
import { debianRoot } from "../src/adapters/docker/base-image.ts";
import { inspectImage, listRepository, removeImage } from "../src/adapters/docker/image-engine.ts";
import { imageReference } from "../src/adapters/docker/image-names.ts";
import { type ContextFile, hashInputs } from "../src/adapters/docker/image-recipe.ts";
import { buildStep } from "../src/adapters/docker/image-step.ts";
import type { Config } from "../src/app/config.ts";

const version = { repository: "tool-executor-stack", name: "executor" };

/** What of a checkout the server needs, beside packages. */
const parts = [
  ...["bin", "src", "dist/current", "migrations", "sandbox-images"],
  ...["deploy/compose", "package.json", "package-lock.json"],
];

/**
 * The image of the executor itself, from the checkout as it is; made unless the engine has it. Answers its reference.
 * @throws ExecutorError image, with the end of the build's log.
 */
export async function executorImage(
  docker: Dockerode,
  checkout: string,
  { baseImage, extraCaDir, install }: Config,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const paths = [...parts, ...(await packagesToRun(checkout))];
  const files = (await Promise.all(paths.map((path) => filesBelow(checkout, path)))).flat();
  const dockerfile = await readFile(join(checkout, "deploy/Dockerfile"));
  const context = [...files, { path: "Dockerfile", bytes: dockerfile, executable: false }];
  const reference = { ...version, inputs: hashInputs(baseImage ?? "", context) };
  const name = imageReference(reference);
  if ((await inspectImage(docker, name, signal)) !== null) return name;
  const mayInstall = async (): Promise<boolean> => install !== "no";
  const root = { repository: "tool-executor", baseImage, extraCaDir, mayInstall, fresh: false };
  const BASE = await debianRoot(docker, root, tell, signal);
  tell(`building ${name}`);
  const step = { ...reference, files: context, caFiles: [], target: null, useCache: true, labelled: false };
  await buildStep(docker, { ...step, buildArguments: { BASE } }, tell, signal);
  for (const tag of (await listRepository(docker, `${version.repository}/${version.name}`, signal)).flatMap(
    (image) => image.RepoTags ?? [],
  ))
    // What a container still runs from is refused by the engine and stays for the next time.
    if (tag !== name) await removeImage(docker, tag, signal).catch(() => signal.throwIfAborted());
  return name;
}

/** Installed packages that are no tools of development. */
async function packagesToRun(checkout: string): Promise<readonly string[]> {
  const lock = JSON.parse(await readFile(join(checkout, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
  };
  const wanted = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== "" && entry.dev !== true && entry.devOptional !== true)
    .map(([path]) => path);
  // A package within another comes with that one.
  return wanted.filter((path) => !wanted.some((other) => path.startsWith(`${other}/`)));
}

async function filesBelow(checkout: string, path: string): Promise<readonly ContextFile[]> {
  const found = await stat(join(checkout, path)).catch(() => null);
  // An optional package of another platform.
  if (found === null) return [];
  if (found.isFile())
    return [{ path, bytes: await readFile(join(checkout, path)), executable: (found.mode & 0o100) !== 0 }];
  const names = (await readdir(join(checkout, path))).filter((name) => name !== ".bin" && name !== "ca").sort();
  return (await Promise.all(names.map((name) => filesBelow(checkout, `${path}/${name}`)))).flat();
}
