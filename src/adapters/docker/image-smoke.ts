import { PassThrough } from "node:stream";
import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { lastLines } from "./image-program.ts";

const smokeTimeoutMs = 120_000;
const shownLineCount = 20;

/**
 * Runs a shell script in an image the way a task would run there: read-only root, no network, no privileges, a user
 * nobody knows, three small tmpfs. The container is gone afterwards.
 * @throws ExecutorError image, with the end of what the script printed, when it does not exit with 0.
 */
export async function smokeTest(
  docker: Dockerode,
  image: { readonly name: string; readonly id: string },
  script: string,
  signal: AbortSignal,
): Promise<void> {
  const late = new ExecutorError("image", `smoke test of ${image.name} took over ${smokeTimeoutMs / 1000} s`);
  using bound = deadline(signal, smokeTimeoutMs, late);
  const abortSignal = bound.signal;
  const container = await docker.createContainer({ ...smokeContainer(image.id, script), abortSignal });
  try {
    const attached = await container.attach({ stream: true, stdout: true, stderr: true, abortSignal });
    const output = new PassThrough();
    container.modem.demuxStream(attached, output, output);
    attached.once("end", () => output.end());
    attached.once("error", (error) => output.destroy(error));
    await container.start({ abortSignal });
    const [printed, { StatusCode }] = await Promise.all([readAll(output), container.wait({ abortSignal })]);
    if (StatusCode !== 0) {
      const end = lastLines(printed, shownLineCount);
      throw new ExecutorError("image", `smoke test of image ${image.name} exited with ${StatusCode}:\n${end}`);
    }
  } catch (cause) {
    abortSignal.throwIfAborted();
    if (cause instanceof ExecutorError) throw cause;
    throw new ExecutorError("image", `smoke test of image ${image.name} (${image.id})`, { cause });
  } finally {
    // Not the caller's signal: the container goes, however this ended.
    await container.remove({ force: true, v: true });
  }
}

async function readAll(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function smokeContainer(imageId: string, script: string): Dockerode.ContainerCreateOptions {
  return {
    Image: imageId,
    Entrypoint: ["/bin/bash", "-euo", "pipefail", "-c"],
    Cmd: [script],
    User: "123456:123456",
    WorkingDir: "/workspace",
    Env: ["HOME=/workspace"],
    HostConfig: {
      ReadonlyRootfs: true,
      NetworkMode: "none",
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      PidsLimit: 128,
      Memory: 512 * 1024 * 1024,
      MemorySwap: 512 * 1024 * 1024,
      LogConfig: { Type: "none", Config: {} },
      Tmpfs: {
        "/tmp": "exec,nosuid,nodev,size=64m,mode=1777",
        "/workspace": "exec,nosuid,nodev,size=64m,mode=1777",
        "/output": "nosuid,nodev,size=64m,mode=1777",
      },
    },
  };
}
