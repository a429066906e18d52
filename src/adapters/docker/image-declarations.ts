import { posix } from "node:path";
import type Dockerode from "dockerode";
import { ExecutorError } from "../../model/failure.ts";

/** What an image asks the engine for beside its files. */
export interface ImageDeclarations {
  /** Its `VOLUME` paths: each would be a writable hole in a read-only root. */
  readonly volumes: readonly string[];
  readonly envNames: readonly string[];
  readonly labelNames: readonly string[];
}

/** Reads them from what the engine knows of an image. */
export function imageDeclarations(inspected: Pick<Dockerode.ImageInspectInfo, "Config">): ImageDeclarations {
  const config = inspected.Config;
  return {
    volumes: Object.keys(config?.Volumes ?? {}).sort(),
    envNames: (config?.Env ?? []).map((entry) => entry.split("=", 1)[0] ?? "").filter((name) => name !== ""),
    labelNames: Object.keys(config?.Labels ?? {}).sort(),
  };
}

/**
 * An empty read-only file system of one page for every volume of the image, but those where the sandbox has one of its own.
 *
 * @throws ExecutorError image, for a volume that would hide what the sandbox needs.
 */
export function volumeMounts(volumes: readonly string[]): Dockerode.MountSettings[] {
  const paths = new Set(volumes.map((volume) => posix.normalize(volume).replace(/(.)\/+$/, "$1")));
  return [...paths].map((path) => {
    if (!posix.isAbsolute(path) || reserved.some((place) => isWithin(place, path) || isWithin(path, place))) {
      throw new ExecutorError("image", `the image declares a volume at ${path}, a place the sandbox needs`, {
        hint: `remove VOLUME ${path} from the image; allowed is any absolute path outside ${reserved.join(", ")}`,
      });
    }
    return { Type: "tmpfs", Source: "", Target: path, ReadOnly: true, TmpfsOptions: { SizeBytes: 4096, Mode: 0o555 } };
  });
}

// Neither these nor anything above or below them may be covered: the system itself, and what the sandbox mounts.
const reserved: readonly string[] = [
  "/bin",
  "/dev",
  "/etc",
  "/lib",
  "/lib64",
  "/output",
  "/proc",
  "/run/toolx",
  "/sbin",
  "/sys",
  "/tmp",
  "/usr/bin",
  "/usr/lib",
  "/usr/sbin",
  "/workspace",
];

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}
