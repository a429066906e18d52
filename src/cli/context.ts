import type { Config } from "../app/config.ts";
import type { CliIo } from "./io.ts";

/** What every command gets. The configuration is read when it is first asked for: `--help` needs none. */
export interface CliContext {
  readonly io: CliIo;
  /** The folder above `src`: images and the checkout's data folder are in it. */
  readonly programDir: string;
  /** @throws ExecutorError validation, for a wrong setting. */
  config(): Config;
  /** Sets what the process exits with; the last word counts. */
  exitWith(code: number): void;
}
