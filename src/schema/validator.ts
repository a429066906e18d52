import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Ajv2020, KeywordCxt, ValidateFunction } from "ajv/dist/2020.js";
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

function compile<T>(schema: JsonObject): ValidateFunction<T> {
  // Checking a schema against its own schema costs more than all the rest; `schemaProblem` does it for those of others.
  return compiledBefore<T>(schema) ?? schemaCompiler({ meta: false }).compile<T>(schema);
}

/** What the set-up has made of the same schema, beside the program that it put together; the sources have nothing of the kind beside them. */
function compiledBefore<T>(schema: JsonObject): ValidateFunction<T> | null {
  const path = fileURLToPath(new URL(`./validators/${schemaKey(schema)}.cjs`, import.meta.url));
  return existsSync(path) ? createRequire(import.meta.url)(path) : null;
}

/** Two schemas with one key are equal. */
export const schemaKey = (schema: JsonObject): string =>
  createHash("sha256").update(JSON.stringify(schema)).digest("hex").slice(0, 32);

/**
 * What understands schemas, ours and those of others: unknown keywords are refused, `format` is a remark, as 2020-12 has it.
 * @param options `meta`: it can check a schema against the schema of schemas; `source`: what it makes can be written down.
 */
export function schemaCompiler({
  meta,
  source = false,
}: {
  readonly meta: boolean;
  readonly source?: boolean;
}): Ajv2020 {
  const { Ajv2020: Compiler, _ } = library();
  const ajv = new Compiler({
    allErrors: true,
    verbose: true,
    strict: true,
    // Style only: what these two refuse is legal, and others write it.
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    allowUnionTypes: true,
    validateFormats: false,
    ownProperties: true,
    meta,
    validateSchema: false,
    // What it has to say it throws.
    logger: false,
    code: { source },
  });
  ajv.addKeyword({
    keyword: "maxBytes",
    type: "string",
    schemaType: "number",
    // As text, so that it can be written down.
    code: (context: KeywordCxt) => context.fail(_`Buffer.byteLength(${context.data}) > ${context.schema}`),
  });
  ajv.addKeyword({ keyword: "says", schemaType: "string" });
  return ajv;
}

/** Loaded at the first schema that is met: many commands meet none, and it is a third of their modules. */
const library = (): typeof import("ajv/dist/2020.js") => createRequire(import.meta.url)("ajv/dist/2020.js");
