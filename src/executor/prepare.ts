import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import { ExecutorError } from "../model/failure.ts";
import { bytesPerMb } from "../model/limits.ts";
import { quoted } from "../model/quoted.ts";
import { sandboxEnvironment } from "../model/sandbox-environment.ts";
import type { InputFile, Task } from "../model/task.ts";
import { traceOf } from "../model/trace-context.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { CollectCaps, Image, Images, Sandbox, SandboxCommand, SandboxSpec } from "../ports/sandbox.ts";
import type { Tool, ToolCommand } from "../tools/tool.ts";
import type { Policy } from "./parts.ts";
import type { Launch } from "./run.ts";
import type { WayOut } from "./way-out.ts";

/** Where the bytes of `files[].sha256` stand, put there before the request that names them. */
export const inputFileKey = (tenantId: string, sha256: string): string => `${inputFiles}/${tenantId}/${sha256}`;

/** The prefix of all of them. */
export const inputFiles = "files";

/** What a task may ask of its sandbox, looked up by name only. */
export interface AllowedSpec {
  readonly imageName: string;
  readonly runtime: string;
}

/**
 * What the sandbox has to be, by the operator's rules.
 * @throws ExecutorError policy_denied, naming what was asked and what is allowed.
 */
export function allowedSpec(task: Task, tool: Tool, command: ToolCommand, images: Images, policy: Policy): AllowedSpec {
  const imageName = task.image ?? command.image;
  if (!images.names().includes(imageName)) throw denied("image", imageName, images.names());
  const runtime = task.runtime ?? tool.runtime ?? policy.runtimes[0] ?? "runc";
  if (!policy.runtimes.includes(runtime)) throw denied("runtime", runtime, policy.runtimes);
  return { imageName, runtime };
}

/** The same with the image found. @throws ExecutorError policy_denied; image, when it is not on this engine. */
export async function specFor(
  task: Task,
  allowed: AllowedSpec,
  images: Images,
  signal: AbortSignal,
): Promise<SandboxSpec> {
  const image = await images.resolve(allowed.imageName, signal);
  if (image === null) throw denied("image", allowed.imageName, images.names());
  return { image, runtime: allowed.runtime, limits: task.limits };
}

function denied(what: "image" | "runtime", asked: string, allowed: readonly string[]): ExecutorError {
  const message = `${what} ${quoted(asked)} is not allowed; allowed: ${allowed.join(", ")}`;
  return new ExecutorError("policy_denied", message, {
    hint: `leave ${what} out, or name one of those`,
    details: [{ path: `/${what}`, message }],
  });
}

/** What is started in it: the image's kept environment, then the task's own; HOME and the like are the sandbox's. */
export function commandFor(
  task: Task,
  command: ToolCommand,
  image: Image,
  policy: Policy,
  given: { readonly hasStdin: boolean; readonly out: Pick<WayOut, "sandboxOut" | "env"> },
): SandboxCommand {
  const trace = traceOf(task.metadata);
  return {
    argv: command.argv,
    env: {
      ...sandboxEnvironment(image.env),
      ...(trace === null ? {} : { TRACEPARENT: trace.traceparent }),
      ...given.out.env,
      ...command.env,
      ...task.env,
    },
    cwd: command.cwd,
    stdin: given.hasStdin || task.stdin !== null,
    deadlineMs: task.limits.timeout_seconds * 1000,
    graceMs: policy.graceMs,
    ...(given.out.sandboxOut && { out: given.out.sandboxOut }),
  };
}

/** The same where spans are made: what the task does belongs under its `run`, unless the caller says otherwise. */
export function tracedLaunch(launch: Launch, task: Task, traceparent: string | null): Launch {
  if (traceparent === null || launch.kind === "go_on" || task.env.TRACEPARENT !== undefined) return launch;
  const { command } = launch;
  return { ...launch, command: { ...command, env: { ...command.env, TRACEPARENT: traceparent } } };
}

/** Of what a task leaves so much is kept. */
export const collectCaps = ({ limits }: Task, policy: Policy): CollectCaps => ({
  maxBytes: limits.output_mb * bytesPerMb,
  maxEntries: policy.maxArtifactEntries,
  maxDepth: policy.maxArtifactDepth,
});

/** Gives the sandbox the task's files and the tool's own; a task without any costs nothing. */
export async function putInputs(
  sandbox: Sandbox,
  task: Task,
  command: ToolCommand,
  objects: ObjectStore,
  signal: AbortSignal,
): Promise<void> {
  if (task.files.length + command.files.length === 0) return;
  const pack = tar.pack();
  const out = new PassThrough({ highWaterMark: 256 * 1024 });
  const packing = async (): Promise<void> => {
    try {
      for (const file of task.files) await addFile(pack, file, task.tenant_id, objects, signal);
      for (const { path, bytes, executable } of command.files)
        pack.entry({ name: path, mode: executable === true ? 0o755 : 0o644 }, Buffer.from(bytes));
      pack.finalize();
    } catch (error) {
      pack.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  };
  await Promise.all([packing(), pipeline(pack, out), sandbox.putFiles(out, signal)]);
}

async function addFile(
  pack: tar.Pack,
  file: InputFile,
  tenantId: string,
  objects: ObjectStore,
  signal: AbortSignal,
): Promise<void> {
  const mode = file.executable ? 0o755 : 0o644;
  if (file.content_base64 !== undefined) {
    const bytes = Buffer.from(file.content_base64, "base64");
    pack.entry({ name: file.path, mode, size: bytes.length }, bytes);
    return;
  }
  const key = inputFileKey(tenantId, file.sha256);
  const [stored] = await objects.list(key, signal);
  const body = await objects.get(key, signal);
  if (!stored || !body) {
    throw new ExecutorError("validation", `files: ${file.path}: no file with sha256 ${file.sha256} has been put`, {
      details: [{ path: "/files", message: `no file with sha256 ${file.sha256}` }],
      hint: "put the file first, then send the task",
    });
  }
  const entry = pack.entry({ name: file.path, mode, size: stored.sizeBytes });
  await pipeline(copies(body), entry);
}

/** The entry may hold a chunk while the next one is read. */
async function* copies(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of body) yield Buffer.from(chunk);
}
