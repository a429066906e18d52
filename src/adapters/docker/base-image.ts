import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { inspectImage } from "./image-engine.ts";
import { engineMessages } from "./image-messages.ts";
import { ownRepository } from "./image-names.ts";
import { findProgram, runProgram } from "./image-program.ts";

export interface BaseImageOptions {
  /** The reference that is tried first, such as `debian:bookworm-slim`. */
  readonly baseImage: string;
  /** Whether a missing mmdebstrap may be installed with apt. Asked only when it is missing and could be installed. */
  readonly mayInstall: () => Promise<boolean>;
  /** Ask the registry, or Debian's mirror, again even if the engine has the image already. */
  readonly fresh: boolean;
}

// A registry that is not there is often a connection nobody answers: silence, not an error.
const pullSilenceMs = 10_000;
const makeTimeoutMs = 10 * 60_000;

const debianRelease = "bookworm";
const mmdebstrapArguments: readonly string[] = [
  "--variant=minbase",
  "--include=ca-certificates,usr-is-merged",
  // The merged layout from the start: the package that converts an old one brings all of Perl along.
  "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
  '--aptopt=Acquire::Languages "none"',
  "--dpkgopt=path-exclude=/usr/share/man/*",
  "--dpkgopt=path-exclude=/usr/share/info/*",
  "--dpkgopt=path-exclude=/usr/share/locale/*",
  "--dpkgopt=path-exclude=/usr/share/lintian/*",
  "--dpkgopt=path-exclude=/usr/share/doc/*",
  "--dpkgopt=path-include=/usr/share/doc/*/copyright",
  // These two are copies of this machine's own.
  '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
  debianRelease,
];

/**
 * The ID of the Debian root the base image is built on: the reference if the engine has it or a registry gives it,
 * otherwise a root made from Debian's packages, once, and kept in the engine.
 * @throws ExecutorError image, when neither way works; nothing half-made is left in the engine.
 */
export async function debianRoot(
  docker: Dockerode,
  options: BaseImageOptions,
  onMessage: (message: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const { baseImage, fresh } = options;
  const made = madeReference(baseImage);
  if (!fresh) {
    const present = (await inspectImage(docker, baseImage, signal)) ?? (await inspectImage(docker, made, signal));
    if (present !== null) return present.Id;
  }
  onMessage(`pulling ${baseImage}`);
  const refusal = await pull(docker, baseImage, signal);
  if (refusal !== null) {
    onMessage(`no ${baseImage} from a registry: ${refusal.trim()}`);
    await makeRoot(docker, made, options, onMessage, signal);
  }
  const reference = refusal === null ? baseImage : made;
  const root = await inspectImage(docker, reference, signal);
  if (root === null) throw new ExecutorError("image", `the engine has no ${reference} after it took it`);
  return root.Id;
}

/** Made once for each reference that could not be pulled: another one is worth another try. */
function madeReference(baseImage: string): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([baseImage, ...mmdebstrapArguments]))
    .digest("hex");
  return `${ownRepository}/debian:${debianRelease}-${hash.slice(0, 12)}`;
}

/** `null` when the image came, otherwise why it did not. */
async function pull(docker: Dockerode, reference: string, signal: AbortSignal): Promise<string | null> {
  const silent = new Error(`nothing heard for ${pullSilenceMs / 1000} s`);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(silent), pullSilenceMs);
  const stop = (): void => silence.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    const answer = await docker.pull(reference, { abortSignal: silence.signal });
    for await (const message of engineMessages(answer)) {
      timer.refresh();
      if (message.kind === "error") return message.text;
    }
    return null;
  } catch (cause) {
    signal.throwIfAborted();
    return silence.signal.aborted ? silent.message : cause instanceof Error ? cause.message : String(cause);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

async function makeRoot(
  docker: Dockerode,
  reference: string,
  options: BaseImageOptions,
  onMessage: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const late = new ExecutorError("image", `making a Debian root took over ${makeTimeoutMs / 60_000} min`);
  using bound = deadline(signal, makeTimeoutMs, late);
  await requireMmdebstrap(options, onMessage, bound.signal);
  onMessage(`making a Debian ${debianRelease} root from Debian's packages (about half a minute)`);
  const folder = await mkdtemp(join(tmpdir(), "tool-executor-debian-"));
  try {
    const archive = join(folder, "root.tar");
    // A whole file first: an import of a stream that breaks off would leave half a Debian under the good name.
    await runProgram("mmdebstrap", [...mmdebstrapArguments, archive], bound.signal);
    const [repo, tag] = reference.split(":");
    const answer = await docker.importImage(createReadStream(archive), { repo, tag, abortSignal: bound.signal });
    for await (const message of engineMessages(answer as NodeJS.ReadableStream)) {
      if (message.kind === "error")
        throw new ExecutorError("image", `import of the Debian root failed: ${message.text}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function requireMmdebstrap(
  options: BaseImageOptions,
  onMessage: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  if ((await findProgram("mmdebstrap")) !== null) return;
  const canInstall = process.getuid?.() === 0 && (await findProgram("apt-get")) !== null;
  if (!canInstall || !(await options.mayInstall())) {
    throw new ExecutorError("image", `no registry gave ${options.baseImage}, and mmdebstrap is not installed`, {
      hint:
        "either name a reachable image in BASE_IMAGE, load one with `docker load`, or, as root on Debian or Ubuntu: " +
        "apt-get install --no-install-recommends mmdebstrap debian-archive-keyring",
    });
  }
  onMessage("installing mmdebstrap");
  await runProgram("apt-get", ["update", "--quiet"], signal);
  const install = ["install", "--yes", "--quiet", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"];
  await runProgram("env", ["DEBIAN_FRONTEND=noninteractive", "apt-get", ...install], signal);
}
