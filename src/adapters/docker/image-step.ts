import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Dockerode from "dockerode";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { packContext } from "./image-context.ts";
import { engineMessages } from "./image-messages.ts";
import { type ImageVersion, imageLabel, imageReference, inputsLabel } from "./image-names.ts";
import { lastLines } from "./image-program.ts";
import type { ContextFile } from "./image-recipe.ts";

/** One build the engine is asked for. */
export interface BuildStep extends ImageVersion {
  readonly files: readonly ContextFile[];
  readonly caFiles: readonly ContextFile[];
  /** The Dockerfile's stage to stop at; `null`: the last. */
  readonly target: string | null;
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly useCache: boolean;
  /** `false` for what is only built upon: with the labels its ID would change though nothing in it has. */
  readonly labelled: boolean;
  /** Whether its commands run without network; they have the engine's otherwise. */
  readonly isOffline?: boolean;
}

const buildTimeoutMs = 30 * 60_000;
const shownLineCount = 40;

/**
 * Has the engine build one image under its name and labels. `tell` hears each command of the Dockerfile as it begins.
 * @throws ExecutorError image, with the end of the log; the whole log stays behind in a file the message names.
 */
export async function buildStep(
  docker: Dockerode,
  step: BuildStep,
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const log: string[] = [];
  using bound = deadline(
    signal,
    buildTimeoutMs,
    new ExecutorError("image", `build of image ${step.name} took over ${buildTimeoutMs / 60_000} min`),
  );
  try {
    const failure = await followBuild(docker, step, log, tell, bound.signal);
    if (failure === null) return;
    log.push(`${failure}\n`);
  } catch (cause) {
    bound.signal.throwIfAborted();
    throw new ExecutorError("image", `build of image ${step.name}: the engine broke off`, { cause });
  }
  throw new ExecutorError("image", await failureMessage(step.name, log.join("")));
}

/** The engine's reason for giving up, or `null` when the image is there. */
async function followBuild(
  docker: Dockerode,
  step: BuildStep,
  log: string[],
  tell: (message: string) => void,
  signal: AbortSignal,
): Promise<string | null> {
  const answer = await docker.buildImage(packContext(step.files, step.caFiles), {
    // The classic builder: every engine has it, with or without the BuildKit plugin.
    version: "1",
    t: imageReference(step),
    ...(step.labelled ? { labels: { [imageLabel]: step.name, [inputsLabel]: step.inputs } } : {}),
    buildargs: { ...step.buildArguments },
    nocache: !step.useCache,
    ...(step.isOffline === true ? { networkmode: "none" } : {}),
    rm: true,
    forcerm: true,
    abortSignal: signal,
    ...(step.target === null ? {} : { target: step.target }),
  });
  for await (const message of engineMessages(answer)) {
    switch (message.kind) {
      case "error":
        return message.text;
      case "image":
        break;
      case "text":
        log.push(message.text.endsWith("\n") ? message.text : `${message.text}\n`);
        if (message.text.startsWith("Step ") && message.text.includes(" : RUN ")) tell(firstLine(message.text));
        break;
    }
  }
  return null;
}

function firstLine(text: string): string {
  const line = (text.trim().split("\n", 1)[0] ?? "").replaceAll(/\s+/g, " ");
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}

async function failureMessage(name: string, log: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "tool-executor-build-")), `${name}.log`);
  await writeFile(path, log, { mode: 0o600 });
  return `build of image ${name} failed; the whole log is in ${path}, and ends:\n${lastLines(log, shownLineCount)}`;
}
