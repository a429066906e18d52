import { ExecutorError, type FailureDetail } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import type { InputFile, JsonObject, JsonValue, Task } from "../model/task.ts";
import { summary } from "../schema/failure-details.ts";
import { parseJson } from "../schema/parse-json.ts";
import { validator } from "../schema/validator.ts";
import type { Tool, ToolCommand, ToolFile } from "./tool.ts";

/** A tool as its author writes it: the payload arrives checked against `inputSchema`, which must describe a `Payload`. */
export interface ToolDefinition<Payload> extends Omit<Tool, "command" | "value"> {
  command(payload: Payload, task: Task): ToolCommand;
}

/** How much of a task's `/output/result.json` is a value; a larger one is an artifact, and no value. */
export const maxResultJsonBytes = 1024 * 1024;

/** Puts the checks around a tool: its payload and the request's files before, its value after. */
export function defineTool<Payload>(definition: ToolDefinition<Payload>): Tool {
  const { outputSchema } = definition;
  const checkPayload = validator<Payload>(definition.inputSchema, {
    subject: "payload",
    at: "/payload",
    code: "validation",
  });
  const checkValue = validator<JsonValue>(outputSchema ?? {}, {
    subject: "result.json",
    at: "",
    code: "result_invalid",
  });
  return {
    ...definition,
    command(task) {
      const command = definition.command(checkPayload(task.payload), task);
      refuseClashes(task.files, command.files);
      return command;
    },
    value(_exit, resultJson) {
      if (resultJson === null) return outputSchema === null ? null : checkValue(null);
      const value = parseJson(resultJson, {
        subject: "result.json",
        code: "result_invalid",
        caps: { maxBytes: maxResultJsonBytes, maxDepth: 64, maxValues: 100_000 },
        // What a task has computed is its own affair: a nanosecond timestamp loses digits no reader in JavaScript had.
        exactNumbers: false,
      });
      return checkValue(value);
    },
  };
}

/** A caller must not put a file of its own in the place of the tool's. */
function refuseClashes(asked: readonly InputFile[], own: readonly ToolFile[]): void {
  if (own.length === 0) return;
  const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);
  const details = asked.flatMap(({ path }, index): readonly FailureDetail[] => {
    const taken = own.find((file) => file.path === path || isBelow(file.path, path) || isBelow(path, file.path));
    if (taken === undefined) return [];
    const message = `files[${index}].path is ${quoted(path)}, but the tool has a file of its own at ${quoted(taken.path)}`;
    return [{ path: `/files/${index}/path`, message }];
  });
  if (details.length > 0) throw new ExecutorError("validation", summary(details), { details });
}

/** A schema for a payload with these members and no others. */
export const payloadSchema = (
  properties: Readonly<Record<string, JsonObject>>,
  required: readonly string[],
  rest: JsonObject = {},
): JsonObject => ({ type: "object", additionalProperties: false, required, properties, ...rest });

/** An argument for the kernel: it ends at a NUL, and Linux takes at most 128 KiB with it. */
export const argumentSchema: JsonObject = {
  type: "string",
  maxBytes: 131_071,
  pattern: "^[^\\u0000]*$",
  says: "must not hold a NUL character",
};

/** A folder in which a task may start. */
export const cwdSchema: JsonObject = {
  type: "string",
  maxLength: 4096,
  pattern: "^/(?:workspace|tmp|output)(?:/(?!\\.{1,2}(?:/|$))[^/\\u0000]+)*/?$",
  says: "must be /workspace, /tmp, /output or a folder below one of them, without . or .. segments",
};
