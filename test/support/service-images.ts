import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type Dockerode from "dockerode";
import { debianRoot } from "../../src/adapters/docker/base-image.ts";
import { buildStage, type ImageBuildOptions } from "../../src/adapters/docker/image-build.ts";
import { inspectImage, listRepository, removeImage } from "../../src/adapters/docker/image-engine.ts";
import { type ImageVersion, imageReference, ownRepository } from "../../src/adapters/docker/image-names.ts";
import { type ContextFile, hashInputs } from "../../src/adapters/docker/image-recipe.ts";
import { buildStep } from "../../src/adapters/docker/image-step.ts";
import { loadConfig } from "../../src/app/config.ts";
import { dockerAt } from "../../src/app/house.ts";
import { ExecutorError } from "../../src/model/failure.ts";
import { checkout } from "./cli.ts";

/** One image that a service of the tests runs from: a folder of test/services, and what its Dockerfile is told. */
interface Service {
  readonly folder: string;
  readonly buildArguments: Readonly<Record<string, string>>;
  /** Made only when it is asked for by name: no test needs it. */
  readonly forBenchOnly?: true;
}

/** The long builds first, so that they can run while the tests that need none of them do. */
const services = {
  minio: { folder: "minio", buildArguments: {} },
  loki: { folder: "loki", buildArguments: {} },
  versitygw: { folder: "versitygw", buildArguments: {} },
  kafka: { folder: "kafka", buildArguments: { KAFKA: "4.1.2" } },
  "kafka-3.9": { folder: "kafka", buildArguments: { KAFKA: "3.9.2" } },
  toxiproxy: { folder: "toxiproxy", buildArguments: {} },
  postgres: { folder: "postgres", buildArguments: {} },
  reaper: { folder: "reaper", buildArguments: {} },
  redis: { folder: "redis", buildArguments: {} },
  openbao: { folder: "openbao", buildArguments: {} },
  peers: { folder: "peers", buildArguments: {}, forBenchOnly: true },
} as const satisfies Readonly<Record<string, Service>>;

export type ServiceName = keyof typeof services;

export const serviceNames = Object.keys(services) as readonly ServiceName[];

/** Those that the tests need. */
export const testedServiceNames = serviceNames.filter((name) => !("forBenchOnly" in services[name]));

/** The names of service images begin with it: nothing that looks for the product's own images finds them. */
const repository = "tool-executor-test";

/**
 * The reference of a service's image, made from its folder as it is now.
 * @throws ExecutorError image, saying how to make it, when the engine has no such image.
 */
export async function serviceImage(docker: Dockerode, name: ServiceName, signal: AbortSignal): Promise<string> {
  const reference = imageReference({ repository, name, inputs: (await recipeOf(name)).inputs });
  if ((await inspectImage(docker, reference, signal)) === null) {
    throw new ExecutorError("image", `the engine has no ${reference}, the image of the tests' service ${name}`, {
      hint: `build it with: npm run services -- ${name}`,
    });
  }
  return reference;
}

/**
 * Makes a service's image unless the engine has it, from the Debian root and on the build stages of the product's own
 * images. Earlier versions of it are removed afterwards. Answers whether anything was built.
 * @throws ExecutorError image, naming the service and how to go on.
 */
export async function buildService(
  name: ServiceName,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { baseImage, dockerHost, extraCaDir, install } = loadConfig(checkout);
  const docker = dockerAt(dockerHost);
  const recipe = await recipeOf(name);
  const version = { repository, name, inputs: recipe.inputs };
  if ((await inspectImage(docker, imageReference(version), signal)) !== null) return false;
  const options: ImageBuildOptions = {
    repository: ownRepository,
    imagesDir,
    baseImage,
    extraCaDir,
    mayInstall: async () => install !== "no",
    force: false,
  };
  const startedAt = performance.now();
  try {
    const buildArguments = await parentsOf(docker, recipe, options, tell, signal);
    const step = { ...version, files: recipe.files, caFiles: [], target: null, useCache: true, labelled: false };
    await buildStep(docker, { ...step, buildArguments: { ...buildArguments, ...recipe.buildArguments } }, tell, signal);
  } catch (cause) {
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ExecutorError("image", `service ${name}: ${why}`, {
      cause,
      hint: `mend test/services/${recipe.folder}/Dockerfile or what it fetches, then: npm run services -- ${name}`,
    });
  }
  tell(`built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  await removeEarlier(docker, version, signal);
  return true;
}

interface ServiceRecipe extends Service {
  /** sha256 (hex) over everything the image is made from. */
  readonly inputs: string;
  readonly files: readonly ContextFile[];
  readonly dockerfile: string;
}

const imagesDir = join(checkout, "sandbox-images");

async function recipeOf(name: ServiceName): Promise<ServiceRecipe> {
  const { folder, buildArguments } = services[name];
  const dir = join(checkout, "test/services", folder);
  const names = (await readdir(dir)).filter((file) => file !== "README.md").sort();
  const files = await Promise.all(
    names.map(async (path) => {
      const [bytes, { mode }] = await Promise.all([readFile(join(dir, path)), stat(join(dir, path))]);
      return { path, bytes, executable: (mode & 0o100) !== 0 };
    }),
  );
  const { baseImage } = loadConfig(checkout);
  const origin = JSON.stringify([baseImage, await stagesBelow(), buildArguments]);
  const dockerfile = files.find(({ path }) => path === "Dockerfile")?.bytes.toString() ?? "";
  return { folder, buildArguments, inputs: hashInputs(origin, files), files, dockerfile };
}

/** The stages of the base image that services are built on: what comes after them in its Dockerfile is no input. */
async function stagesBelow(): Promise<string> {
  const dockerfile = await readFile(join(imagesDir, "base/Dockerfile"), "utf8");
  const end = dockerfile.indexOf("\nFROM go AS init");
  if (end === -1)
    throw new ExecutorError("image", "sandbox-images/base/Dockerfile has no stage init after its stage go");
  return createHash("sha256").update(dockerfile.slice(0, end)).digest("hex");
}

/** What a Dockerfile of a service may begin with: only what it asks for is made. By ID, because a tag may be taken away. */
async function parentsOf(
  docker: Dockerode,
  { dockerfile }: ServiceRecipe,
  options: ImageBuildOptions,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const asked = [...dockerfile.matchAll(/^ARG (ROOT|FETCH|GO)$/gm)].map(([, name = ""]) => name);
  const parents: Record<string, string> = {};
  if (asked.includes("ROOT")) parents.ROOT = await debianRoot(docker, { ...options, fresh: false }, tell, signal);
  const stages = [
    ["FETCH", "fetch"],
    ["GO", "go"],
  ] as const;
  for (const [argument, stage] of stages) {
    if (!asked.includes(argument)) continue;
    const reference = await buildStage(
      docker,
      stage,
      { ...options, repository },
      ({ message }) => tell(message),
      signal,
    );
    const image = await inspectImage(docker, reference, signal);
    if (image === null) throw new ExecutorError("image", `the engine has no ${reference} after its build`);
    parents[argument] = image.Id;
  }
  return parents;
}

/** What a container still runs from is refused by the engine and stays for the next time. */
async function removeEarlier(docker: Dockerode, version: ImageVersion, signal: AbortSignal): Promise<void> {
  const found = await listRepository(docker, `${repository}/${version.name}`, signal);
  for (const tag of found.flatMap((image) => image.RepoTags ?? [])) {
    if (tag !== imageReference(version)) await removeImage(docker, tag, signal).catch(() => signal.throwIfAborted());
  }
}
