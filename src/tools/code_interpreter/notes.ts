import { ExecutorError } from "../../model/failure.ts";
import type { JsonObject, JsonValue } from "../../model/task.ts";
import { parseJson } from "../../schema/parse-json.ts";
import { validator } from "../../schema/validator.ts";
import type { Noted, Notes } from "../tool.ts";

/** What the runners write: the value of the last expression, and the tables and figures they saved beside it. */
interface RunnerNotes {
  readonly value: JsonValue;
  readonly results: Noted["results"];
}

/** Values are at most 64 Ki characters of JSON; in the bytes of UTF-8 that is up to three times as much. */
const maxBytes = 256 * 1024;

const schema: JsonObject = {
  type: "object",
  additionalProperties: false,
  required: ["value", "results"],
  properties: {
    value: {},
    results: {
      type: "array",
      maxItems: 32,
      items: {
        type: "object",
        additionalProperties: false,
        required: ["mime", "artifact"],
        properties: {
          mime: { enum: ["image/png", "text/markdown", "application/json"] },
          artifact: { type: "string", maxLength: 255 },
        },
      },
    },
  },
};

/** The file in which the runners leave what they saw. The task could have written it as well, so it is believed in nothing. */
export function runnerNotes(): Notes {
  const subject = "notes";
  const code = "result_invalid";
  const check = validator<RunnerNotes>(schema, { subject, at: "", code });
  return {
    path: ".toolx.json",
    maxBytes,
    read(bytes) {
      try {
        const caps = { maxBytes, maxDepth: 64, maxValues: 100_000 };
        return check(parseJson(bytes, { subject, code, caps, exactNumbers: false }));
      } catch (error) {
        if (error instanceof ExecutorError) return null;
        throw error;
      }
    },
  };
}
