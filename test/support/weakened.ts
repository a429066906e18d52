import type { ContainerCreateOptions, HostConfig } from "dockerode";
import { dockerSandboxes } from "../../src/adapters/docker/docker-sandboxes.ts";
import type { House } from "../../src/app/house.ts";
import type { SandboxCommand } from "../../src/ports/sandbox.ts";

export type Changed = Partial<ContainerCreateOptions> & { readonly HostConfig?: HostConfig };

/** What is done to a house on purpose, to see whether anybody notices. */
export interface Weakening {
  /** Fields that are put in the place of ours when a container is made. */
  readonly container?: (ours: ContainerCreateOptions) => Changed;
  /** Parts of what a task is started with, in the place of ours. */
  readonly command?: (ours: SandboxCommand) => Partial<SandboxCommand>;
}

/** The same house, whose sandboxes lack a wall. */
export function weakened(
  house: House,
  { container = () => ({}), command = () => ({}) }: Weakening,
): House & AsyncDisposable {
  const docker = new Proxy(house.docker, {
    get(target, key) {
      if (key === "createContainer")
        return (ours: ContainerCreateOptions) => target.createContainer(withChanges(ours, container(ours)));
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const sandboxes = dockerSandboxes(docker, { owner: house.parts.liveness.self, architecture: process.arch });
  const parts: House["parts"] = {
    ...house.parts,
    sandboxes: {
      ...sandboxes,
      async create(spec, signal) {
        const sandbox = await sandboxes.create(spec, signal);
        return {
          ...sandbox,
          arm: (ours) => sandbox.arm({ ...ours, ...command(ours) }),
          start: (ours, startSignal) => sandbox.start({ ...ours, ...command(ours) }, startSignal),
        };
      },
    },
  };
  return { ...house, docker, parts, [Symbol.asyncDispose]: () => sandboxes[Symbol.asyncDispose]() };
}

function withChanges(ours: ContainerCreateOptions, changed: Changed): ContainerCreateOptions {
  const made = { ...ours, ...changed, HostConfig: { ...ours.HostConfig, ...changed.HostConfig } };
  // SAFETY: sandbox-init ends every process that it can see and may end. As root among the host's that is the host.
  if (made.HostConfig.PidMode === "host" && (made.User === "0:0" || made.HostConfig.Privileged === true))
    throw new Error("root with the host's processes: no test may do that");
  return made;
}
