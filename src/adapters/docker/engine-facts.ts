import type Dockerode from "dockerode";
import { engineCall } from "./engine-call.ts";

/** What an engine says of itself and of the host it runs on. */
export interface EngineFacts {
  readonly version: string;
  readonly apiVersion: string;
  readonly runtimes: readonly string[];
  readonly kernel: string;
  readonly architecture: string;
  /** `1` or `2`. */
  readonly cgroupVersion: string;
  readonly storageDriver: string;
  readonly hasAppArmor: boolean;
  readonly hasSeccomp: boolean;
  /** Whether the limit named can be set at all on this host. */
  readonly canLimit: {
    readonly memory: boolean;
    readonly swap: boolean;
    readonly cpu: boolean;
    readonly pids: boolean;
  };
}

const factsMs = 5_000;

/** @throws ExecutorError sandbox, when the engine does not answer. */
export async function engineFacts(docker: Dockerode, signal: AbortSignal): Promise<EngineFacts> {
  const [version, host] = await Promise.all([
    engineCall("ask the engine's version", factsMs, () => docker.version(), signal),
    engineCall("ask the engine about its host", factsMs, () => docker.info(), signal),
  ]);
  const options: readonly string[] = host.SecurityOptions ?? [];
  const has = (name: string): boolean => options.some((option) => option.split(",").includes(`name=${name}`));
  return {
    version: version.Version,
    apiVersion: version.ApiVersion,
    runtimes: Object.keys(host.Runtimes ?? {}).sort(),
    kernel: host.KernelVersion,
    architecture: host.Architecture,
    cgroupVersion: host.CgroupVersion ?? "1",
    storageDriver: host.Driver,
    hasAppArmor: has("apparmor"),
    hasSeccomp: has("seccomp"),
    canLimit: {
      memory: host.MemoryLimit === true,
      swap: host.SwapLimit === true,
      cpu: host.CpuCfsQuota === true,
      pids: host.PidsLimit === true,
    },
  };
}
