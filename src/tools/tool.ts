import type { Exit } from "../model/exit.ts";
import type { Limits } from "../model/limits.ts";
import type { JsonObject, JsonValue, RetryClass, Task } from "../model/task.ts";

/** One kind of call: what may be asked, what runs for it, and what its answer is. Knows no engine and no store. */
export interface Tool {
  /** As in `tool_name`. */
  readonly name: string;
  /** One line for people and for agents that choose a tool. */
  readonly description: string;
  /** What `payload` must be (JSON Schema 2020-12). */
  readonly inputSchema: JsonObject;
  /** What `/output/result.json` must be; null: anything, or nothing. */
  readonly outputSchema: JsonObject | null;
  /** Images by name that the tool chooses from when the request names none. */
  readonly images: readonly string[];
  /** The runtime when the request names none; null: the installation's. */
  readonly runtime: string | null;
  /** Defaults that differ from the installation's. */
  readonly limits: Partial<Limits>;
  /** What may be done with a call whose executor died. A request may only lower it ({@link retryClass}). */
  readonly retry: RetryClass;
  /** What to run. @throws ExecutorError validation, with JSON pointers below `/payload`. */
  command(task: Task): ToolCommand;
  /**
   * The structured value of a task that ended, from the bytes of its `/output/result.json` (null: it left none;
   * at most `maxResultJsonBytes` of them need ever be read, one more to see that there are too many).
   * @throws ExecutorError result_invalid, for what is no JSON within the caps or does not fit `outputSchema`.
   */
  value(exit: Exit, resultJson: Uint8Array | null): JsonValue;
  /** Where the tool's own program, beside the task's, leaves what it saw; none unless given. */
  readonly notes?: Notes;
}

/** A small file below `/output` that a tool leaves for itself. It is read, and is no artifact. */
export interface Notes {
  /** Relative to `/output`. */
  readonly path: string;
  /** A larger file is an artifact, and no notes. */
  readonly maxBytes: number;
  /** Null for what are no notes: a task can write there too, and whatever it writes changes nothing else. */
  read(bytes: Uint8Array): Noted | null;
}

/** What a tool's own program saw of a task. */
export interface Noted {
  /** Counts for a task that succeeded and left no value itself. */
  readonly value: JsonValue;
  /** Files of `/output` that a reader would want to see at once, in order. */
  readonly results: readonly { readonly mime: string; readonly artifact: string }[];
}

/** What a tool makes of one request. */
export interface ToolCommand {
  /** The tool's own choice of image; the request's `image` goes before it. */
  readonly image: string;
  /** Searched in `PATH` when the first has no slash. */
  readonly argv: readonly string[];
  /** Below the request's own `env`, above the image's. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, below `/workspace`, `/tmp` or `/output`. */
  readonly cwd: string;
  /** Put under `/workspace` beside the request's files. A request that brings a file of the same name is refused. */
  readonly files: readonly ToolFile[];
  /**
   * Services of the host that the program may call: `POST $TOOL_CALL_URL/NAME` with JSON, without credentials or network, as the task's tenant;
   * none unless given.
   */
  readonly calls?: readonly string[];
}

export interface ToolFile {
  /** Relative to `/workspace`. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Mode 0755 instead of 0644. */
  readonly executable?: boolean;
}

/** The class that counts for one task: `unsafe` when either side says so. */
export const retryClass = (tool: Tool, task: Pick<Task, "retry">): RetryClass =>
  tool.retry === "unsafe" ? "unsafe" : task.retry;
