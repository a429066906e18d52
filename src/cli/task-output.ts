import type { JsonObject } from "../model/task.ts";
import { type CliIo, say, written } from "./io.ts";
import { type TerminalText, terminalText } from "./terminal-text.ts";

/** A task's streams on ours: exact bytes into a pipe, made harmless on a terminal. */
export interface TaskOutput {
  write(stream: "stdout" | "stderr", bytes: Buffer): Promise<void>;
  /** One line of the log object. */
  line(text: string): Promise<void>;
  /** What was held back of a character or a colour. */
  end(): Promise<void>;
}

export function taskOutput(io: Pick<CliIo, "stdout" | "stderr">): TaskOutput {
  const filters: Record<"stdout" | "stderr", TerminalText | null> = {
    stdout: io.stdout.isTTY ? terminalText() : null,
    stderr: io.stderr.isTTY ? terminalText() : null,
  };
  const write: TaskOutput["write"] = async (stream, bytes) => {
    const filter = filters[stream];
    await written(io[stream], filter ? filter.write(bytes) : bytes);
  };
  return {
    write,
    async line(text) {
      const { gap, stream, text: characters, base64 } = JSON.parse(text) as JsonObject;
      if (typeof gap === "object" && gap !== null && "bytes" in gap) {
        const bytes = Number(gap.bytes);
        return say(io, `[… ${bytes > 0 ? `${bytes} bytes` : "some output"} left out …]`);
      }
      const bytes =
        typeof base64 === "string" ? Buffer.from(base64, "base64") : Buffer.from(String(characters), "utf8");
      await write(stream === "stderr" ? "stderr" : "stdout", bytes);
    },
    async end() {
      for (const stream of ["stdout", "stderr"] as const) await written(io[stream], filters[stream]?.end() ?? "");
    },
  };
}
