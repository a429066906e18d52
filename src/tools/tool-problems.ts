import { ExecutorError } from "../model/failure.ts";
import type { JsonObject, JsonValue } from "../model/task.ts";
import { schemaProblem } from "../schema/schema-problem.ts";
import { validator } from "../schema/validator.ts";
import type { Tool } from "./tool.ts";

/**
 * What is wrong with the schemas of a tool, as sentences: that they are none, that they leave open whether a payload may have
 * other fields, or that their own examples do not fit. Costs tens of milliseconds at the first call of a process.
 */
export function toolProblems({ inputSchema, outputSchema }: Tool): readonly string[] {
  const problems: string[] = [];
  const input = schemaProblem(inputSchema);
  if (input !== null) problems.push(`input_schema: ${input}`);
  else problems.push(...payloadProblems(inputSchema), ...exampleProblems(inputSchema, "input_schema"));
  if (outputSchema === null) return problems;
  const output = schemaProblem(outputSchema);
  if (output !== null) problems.push(`output_schema: ${output}`);
  else problems.push(...exampleProblems(outputSchema, "output_schema"));
  return problems;
}

/** Whether a payload with a field that the schema does not name is refused. */
export const isClosed = ({ additionalProperties, unevaluatedProperties }: JsonObject): boolean =>
  additionalProperties === false || unevaluatedProperties === false;

/** The values a schema gives as examples of itself. */
export const examplesOf = ({ examples }: JsonObject): readonly JsonValue[] =>
  Array.isArray(examples) ? (examples as readonly JsonValue[]) : [];

function payloadProblems(schema: JsonObject): readonly string[] {
  const problems: string[] = [];
  if (schema.type !== "object") problems.push('input_schema: type must be "object", as every payload is one');
  // A slip in a field's name would pass unseen otherwise.
  if (schema.additionalProperties === undefined && schema.unevaluatedProperties === undefined)
    problems.push("input_schema: additionalProperties is missing: false, or what other fields may be");
  return problems;
}

function exampleProblems(schema: JsonObject, subject: string): readonly string[] {
  const check = validator<JsonValue>(schema, { subject: "example", at: "", code: "validation" });
  return examplesOf(schema).flatMap((example, index) => {
    try {
      check(example);
      return [];
    } catch (error) {
      if (!(error instanceof ExecutorError)) throw error;
      return [`${subject}: examples[${index}] does not fit: ${error.message}`];
    }
  });
}
