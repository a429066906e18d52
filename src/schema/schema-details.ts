import type { ErrorObject } from "ajv/dist/2020.js";
import type { FailureDetail, Reason } from "../model/failure.ts";
import { nearest } from "../model/nearest.ts";
import { quoted } from "../model/quoted.ts";
import { maxDetails, pathName, pointerSegment } from "./failure-details.ts";

/** What is checked and how its failures are worded. */
export interface Checked {
  /** What it is, for messages about the whole of it: `payload`. */
  readonly subject: string;
  /** JSON pointer of the checked value in the request: `/payload`; empty for the whole. */
  readonly at: string;
  readonly code: Reason;
}

/** The validator's errors in plain words, the first of each path: where, with which value, and what was allowed. */
export function schemaDetails(errors: readonly ErrorObject[], checked: Checked): readonly FailureDetail[] {
  const byPath = new Map<string, FailureDetail>();
  for (const error of [...errors].sort((a, b) => rank(a) - rank(b))) {
    if (byPath.size === maxDetails) break;
    if (isPartOfAnother(error)) continue;
    const { path, why } = explain(error, checked.at);
    const message = `${pathName(path, checked.subject)} ${why}`;
    if (!byPath.has(path)) byPath.set(path, { path, message });
  }
  return [...byPath.values()];
}

/** What a choice says about itself is clearer than what each of its branches says. */
const rank = (error: ErrorObject): number => (error.keyword === "oneOf" ? 0 : 1);
const isPartOfAnother = (error: ErrorObject): boolean =>
  /\/oneOf\/\d+\//.test(error.schemaPath) || error.propertyName !== undefined;

function explain(error: ErrorObject, at: string): { readonly path: string; readonly why: string } {
  const path = at + error.instancePath;
  const schema = (error.parentSchema ?? {}) as Readonly<Record<string, unknown>>;
  const params = error.params as Readonly<Record<string, unknown>>;
  const value = valueText(error.data, path, error.keyword);
  switch (error.keyword) {
    case "required":
      return { path: `${path}/${pointerSegment(String(params.missingProperty))}`, why: "is missing" };
    case "additionalProperties": {
      const name = String(params.additionalProperty);
      const known = Object.keys((schema.properties as object | undefined) ?? {});
      const meant = nearest(name, known);
      const why = `is no known field${meant === null ? "" : `, did you mean ${meant}?`}; known: ${known.join(", ")}`;
      return { path: `${path}/${pointerSegment(name)}`, why };
    }
    case "propertyNames":
      return {
        path,
        why: `has ${quoted(String(params.propertyName))}, ${saysOr(schema.propertyNames, "no name that is allowed")}`,
      };
    case "type":
      return { path, why: `is ${value}, must be ${typesText(schema)}` };
    case "enum":
      return { path, why: `is ${value}, must be one of ${listText(params.allowedValues)}` };
    case "const":
      return { path, why: `is ${value}, must be ${JSON.stringify(params.allowedValue)}` };
    case "maximum":
      return { path, why: `is ${value}, at most ${String(params.limit)}` };
    case "minimum":
      return { path, why: `is ${value}, at least ${String(params.limit)}` };
    case "maxBytes":
      return { path, why: `is ${Buffer.byteLength(String(error.data))} bytes long, at most ${String(error.schema)}` };
    case "maxLength":
      return { path, why: `is ${String(error.data).length} characters long, at most ${String(params.limit)}` };
    case "minLength":
      return { path, why: "is empty" };
    case "maxItems":
    case "maxProperties":
      return { path, why: `has ${Object.keys(error.data as object).length} entries, at most ${String(params.limit)}` };
    case "minItems":
      return { path, why: `has fewer than ${String(params.limit)} entries` };
    case "pattern":
      return { path, why: `is ${value}, ${saysOr(schema, `must match ${String(params.pattern)}`)}` };
    case "oneOf":
      return { path, why: saysOr(schema, "fits none, or more than one, of what is allowed") };
    default:
      return { path, why: error.message ?? `fails ${error.keyword}` };
  }
}

function saysOr(schema: unknown, otherwise: string): string {
  const says = (schema as { readonly says?: unknown } | undefined)?.says;
  return typeof says === "string" ? says : otherwise;
}

const mayBeSecret = /^\/(?:env|secrets|stdin|metadata|payload|files\/\d+\/content_base64)(?:\/|$)/;

/** A refused value as a message may show it. Where callers put secrets, only a fixed choice (`enum`) is quoted. */
function valueText(value: unknown, path: string, keyword: string): string {
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return mayBeSecret.test(path) && keyword !== "enum" ? "a string" : quoted(value);
}

const typeNames: Readonly<Record<string, string>> = {
  string: "a string",
  integer: "an integer",
  number: "a number",
  boolean: "true or false",
  object: "an object",
  array: "an array",
  null: "null",
};

function typesText(schema: Readonly<Record<string, unknown>>): string {
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  const names = types.map((type) => typeNames[String(type)] ?? String(type)).join(" or ");
  const { minimum, maximum } = schema;
  return minimum === undefined || maximum === undefined ? names : `${names} from ${minimum} to ${maximum}`;
}

const listText = (values: unknown): string =>
  (Array.isArray(values) ? values : []).map((value) => JSON.stringify(value)).join(", ");
