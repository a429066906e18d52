import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import Dockerode from "dockerode";
import { createOptions, randomIdentity } from "../../src/adapters/docker/host-config.ts";
import { imageDeclarations } from "../../src/adapters/docker/image-declarations.ts";
import { imageLabel } from "../../src/adapters/docker/image-names.ts";
import { seccompProfile } from "../../src/adapters/docker/seccomp.ts";
import { defaultLimitRules, type LimitName, type Limits } from "../../src/model/limits.ts";

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The engine that the environment names, as the command line finds it. */
export const testDocker = (): Dockerode => new Dockerode();

export const defaultLimits = Object.fromEntries(
  Object.entries(defaultLimitRules).map(([name, rule]) => [name as LimitName, rule.byDefault]),
) as unknown as Limits;

/** The ID of the newest of our images with this name. @throws when it was not built: `toolx images build` makes it. */
export async function ourImage(docker: Dockerode, name: string): Promise<string> {
  const [newest] = await docker.listImages({ filters: { label: [`${imageLabel}=${name}`], dangling: ["false"] } });
  if (newest === undefined)
    throw new Error(`no image labelled ${imageLabel}=${name}: run bin/toolx images build ${name}`);
  return newest.Id;
}

/** The production request for a sandbox of this image, made by a process that is dead: a reaper may have it. */
export async function productionOptions(
  docker: Dockerode,
  imageId: string,
  limits: Limits = defaultLimits,
  runtime = "runc",
): Promise<Dockerode.ContainerCreateOptions> {
  const { Architecture } = await docker.info();
  return createOptions({ image: { name: "test", id: imageId, env: {} }, runtime, limits }, randomIdentity(), {
    labels: { owner: { host: "0", boot: "0", pid: 0, start: 0 }, pool: "test", createdAt: Date.now() },
    seccomp: seccompProfile(runtime, Architecture),
    declared: imageDeclarations(await docker.getImage(imageId).inspect()),
  });
}

/** Runs a program in the walls of a sandbox, with the program in sandbox-init's place, and takes the container away. */
export async function runBare(
  docker: Dockerode,
  options: Dockerode.ContainerCreateOptions,
  argv: readonly string[],
): Promise<Ended> {
  const [entrypoint = "", ...args] = argv;
  const container = await docker.createContainer({
    ...options,
    Entrypoint: [entrypoint],
    Cmd: args,
    OpenStdin: false,
    AttachStdin: false,
  });
  try {
    const attached = await container.attach({ stream: true, stdout: true, stderr: true });
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    container.modem.demuxStream(attached, stdout, stderr);
    attached.once("end", () => {
      stdout.end();
      stderr.end();
    });
    const ended = container.wait({ condition: "next-exit" });
    await container.start();
    const [out, err, { StatusCode }] = await Promise.all([buffer(stdout), buffer(stderr), ended]);
    return { exitCode: StatusCode, stdout: out.toString(), stderr: err.toString() };
  } finally {
    await container.remove({ force: true, v: true });
  }
}
