import type { JsonObject } from "../model/task.ts";

/** What a task says of itself while it runs. At least one of the two is there. */
export interface Progress {
  /** 0 to 1, or null when the task gave words only. */
  readonly progress: number | null;
  readonly message: string | null;
}

/** One line on `$TOOL_PROGRESS_FD`, as JSON Schema (2020-12). */
export const progressSchema: JsonObject = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Progress of a task",
  type: "object",
  additionalProperties: false,
  minProperties: 1,
  properties: {
    progress: { type: "number", minimum: 0, maximum: 1 },
    message: { type: "string", maxLength: 4096 },
  },
};

/** Reads what `progressSchema` describes; null for anything else, which is dropped: progress never fails a task. */
export function readProgress(value: JsonObject): Progress | null {
  const { progress = null, message = null, ...others } = value;
  if (Object.keys(others).length > 0) return null;
  if (progress !== null && !(typeof progress === "number" && progress >= 0 && progress <= 1)) return null;
  if (message !== null && typeof message !== "string") return null;
  return progress === null && message === null ? null : { progress, message };
}
