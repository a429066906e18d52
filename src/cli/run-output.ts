import type { LiveEvent, Watcher } from "../executor/parts.ts";
import type { Progress } from "../schema/progress.ts";
import { type CliIo, isClosedPipe, say } from "./io.ts";
import { type TaskOutput, taskOutput } from "./task-output.ts";
import { terminalName } from "./terminal-text.ts";

/** What a run shows of its task. Whoever reads it holds the task back where it runs here. */
export interface RunOutput extends AsyncDisposable, Pick<TaskOutput, "write" | "line"> {
  progress(progress: Progress): void;
}

/** @param silent shows nothing: one envelope is printed in the end. */
export function runOutput(io: CliIo, silent: boolean, onReaderGone: () => void): RunOutput {
  const output = taskOutput(io);
  const shown = async (writing: Promise<void>): Promise<void> => {
    try {
      await writing;
    } catch (error) {
      if (!isClosedPipe(error)) throw error;
      onReaderGone();
    }
  };
  return {
    async write(stream, bytes) {
      if (!silent) await shown(output.write(stream, bytes));
    },
    async line(text) {
      if (!silent) await shown(output.line(text));
    },
    progress(progress) {
      if (io.stderr.isTTY && !silent) say(io, progressLine(progress));
    },
    async [Symbol.asyncDispose]() {
      await shown(output.end());
    },
  };
}

/** Shows a task that runs in this process. */
export const watcherOf =
  (output: RunOutput): Watcher =>
  (event: LiveEvent): Promise<void> | void => {
    if (event.kind === "output") return output.write(event.stream, event.bytes);
    if (event.kind === "progress") output.progress(event.progress);
  };

function progressLine({ progress, message }: Progress): string {
  const share = progress === null ? "" : `${Math.round(progress * 100)} %`;
  return `  … ${[share, terminalName(message ?? "")].filter((part) => part !== "").join("  ")}`;
}
