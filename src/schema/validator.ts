import { Ajv2020 } from "ajv/dist/2020.js";
import { ExecutorError } from "../model/failure.ts";
import type { JsonObject } from "../model/task.ts";
import { summary } from "./failure-details.ts";
import { type Checked, schemaDetails } from "./schema-details.ts";

/**
 * A schema made ready: answers the value itself, or throws with one detail a path, in plain words and without values that may be secret.
 * Two keywords are ours: `maxBytes` (UTF-8 length of a string) and `says` (the sentence for a failed `oneOf` or `pattern`).
 */
export type Validator<T> = (value: unknown) => T;

/** @throws Error for a schema that is none: our bug, or a tool author's. */
export function validator<T>(schema: JsonObject, checked: Checked): Validator<T> {
  // Compiled at the first use: a process that never meets this schema does not pay for it.
  let accepts: ReturnType<typeof compile<T>> | undefined;
  return (value) => {
    accepts ??= compile<T>(schema);
    if (accepts(value)) return value;
    const details = schemaDetails(accepts.errors ?? [], checked);
    throw new ExecutorError(checked.code, summary(details), { details });
  };
}

function compile<T>(schema: JsonObject) {
  const ajv = new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    ownProperties: true,
    // Checking a schema against its own schema costs more than all the rest; the tests do it for ours.
    meta: false,
    validateSchema: false,
  });
  ajv.addKeyword({
    keyword: "maxBytes",
    type: "string",
    schemaType: "number",
    validate: (maxBytes: number, text: string) => Buffer.byteLength(text) <= maxBytes,
  });
  ajv.addKeyword({ keyword: "says", schemaType: "string" });
  return ajv.compile<T>(schema);
}
