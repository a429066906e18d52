// Go: this machine's own where it is new enough, otherwise in a container of the image that the init program is built in.
import { join } from "node:path";
import { checkout, output, SetupError, tell } from "./step.mjs";

/** Whether this machine has at least this version, such as `1.24`. */
export async function hasHostGo(version) {
  const [major, minor] = version.split(".").map(Number);
  const found = /go version go(\d+)\.(\d+)/.exec((await output("go", ["version"])) ?? "");
  return found !== null && Number(found[1]) === major && Number(found[2]) >= minor;
}

/**
 * A running container with Go and an empty folder /src, of an hour's life at most. `command` starts its Go there. `network`
 * as the engine names them. It is gone after `end`.
 */
export async function goContainer(network) {
  // Not at the top: on a machine with a Go of its own, nothing here needs the engine.
  const { loadConfig } = await import("../src/app/config.ts");
  const { dockerAt } = await import("../src/app/house.ts");
  const { buildStage } = await import("../src/adapters/docker/image-build.ts");
  const { ownRepository } = await import("../src/adapters/docker/image-names.ts");
  const { baseImage, dockerHost, extraCaDir, install } = loadConfig(checkout);
  const options = {
    repository: ownRepository,
    imagesDir: join(checkout, "sandbox-images"),
    baseImage,
    extraCaDir,
    mayInstall: async () => install !== "no",
    force: false,
  };
  const onProgress = ({ image, message }) => tell(`${image}: ${message}`);
  const image = await buildStage(dockerAt(dockerHost), "go", options, onProgress, new AbortController().signal);
  const docker = async (...args) => {
    const printed = await output("docker", ["--host", dockerHost, ...args]);
    if (printed === null)
      throw new SetupError(`docker ${args[0]} failed, or there is no docker client: apt-get install docker.io`);
    return printed.trim();
  };
  const id = await docker("create", "--network", network, "--workdir", "/src", "--entrypoint", "sleep", image, "3600");
  const end = async () => {
    await docker("rm", "--force", id);
    // The name only: the image itself is a stage that the next build of the base begins with.
    await docker("rmi", "--no-prune", image);
  };
  try {
    await docker("start", id);
  } catch (error) {
    await end();
    throw error;
  }
  return { id, docker, command: ["docker", "--host", dockerHost, "exec", id, "go"], end };
}
