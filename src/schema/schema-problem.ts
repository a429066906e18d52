import type { ErrorObject } from "ajv/dist/2020.js";
import type { JsonObject } from "../model/task.ts";
import { pathName } from "./failure-details.ts";
import { schemaCompiler } from "./validator.ts";

const dialect = "https://json-schema.org/draft/2020-12/schema";

/**
 * What keeps somebody else's JSON Schema from being one that can be used here, or null. Costs tens of milliseconds at the
 * first call of a process.
 */
export function schemaProblem(schema: JsonObject): string | null {
  if (schema.$schema !== undefined && schema.$schema !== dialect) return `$schema must be ${dialect}, or left out`;
  // It would make every check a promise, and a promise is no refusal.
  if ("$async" in schema) return "$async is no keyword of JSON Schema";
  const meta = schemaCompiler({ meta: true });
  if (meta.validateSchema(schema) !== true) return metaProblem(meta.errors ?? []);
  try {
    schemaCompiler({ meta: false }).compile(schema);
    return null;
  } catch (error) {
    // The compiler's own words: an unknown keyword, a reference that leads nowhere, a pattern that is none.
    return error instanceof Error ? error.message : String(error);
  }
}

/** The first thing wrong, where it is. */
function metaProblem([first]: readonly ErrorObject[]): string {
  if (first === undefined) return "is no JSON Schema";
  const { allowedValues } = first.params as { readonly allowedValues?: readonly unknown[] };
  const allowed = allowedValues === undefined ? "" : `: ${allowedValues.join(", ")}`;
  return `${pathName(first.instancePath, "it")} ${first.message ?? `fails ${first.keyword}`}${allowed}`;
}
