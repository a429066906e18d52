import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { defaultLimitRules } from "../../../src/model/limits.ts";
import type { JsonObject } from "../../../src/model/task.ts";
import { encodeResult } from "../../../src/schema/encode-result.ts";
import { progressSchema, readProgress } from "../../../src/schema/progress.ts";
import { resultSchema } from "../../../src/schema/result-schema.ts";
import { taskSchema } from "../../../src/schema/task-schema.ts";
import { validator } from "../../../src/schema/validator.ts";
import { builtInTools } from "../../../src/tools/catalog.ts";
import { aResult } from "../../support/samples.ts";

const checkResult = validator(resultSchema, { subject: "result", at: "", code: "internal" });

test.each<[string, JsonObject]>([
  ["task", taskSchema(defaultLimitRules, 2)],
  ["result", resultSchema],
  ["progress", progressSchema],
  ...builtInTools().map((tool): [string, JsonObject] => [tool.name, tool.inputSchema]),
])("the schema of %s is JSON Schema 2020-12", (_name, schema) => {
  const ajv = new Ajv2020({ strict: false });
  expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true);
});

test("a result's bytes fit the result schema, and read back as the result", () => {
  const result = aResult({
    status: "failed",
    reason: "timeout",
    exit_code: null,
    signal: "SIGKILL",
    error: { code: "timeout", message: "m", hint: null, retryable: false, details: [{ path: "/a", message: "b" }] },
    metadata: { z: { b: 1, a: [2] } },
  });
  const bytes = encodeResult(result);
  expect(JSON.parse(bytes.toString())).toEqual(result);
  expect(checkResult(JSON.parse(bytes.toString()))).toEqual(result);
});

test("equal results give equal bytes, in the order of the wire, whatever order they were made in", () => {
  const result = aResult({ metadata: { z: 1, a: 2 } });
  const turned = Object.fromEntries(Object.entries(result).reverse()) as unknown as typeof result;
  expect(encodeResult(turned)).toEqual(encodeResult(result));
  expect(encodeResult(result).toString()).toMatch(
    /^\{"schema_version":1,"task_id":"t-1","tenant_id":"acme","tool_name":/,
  );
  expect(encodeResult(result).toString()).toContain('"metadata":{"z":1,"a":2}}');
});

test.each<[string, object]>([
  ["a reason of no table", { reason: "exploded" }],
  ["a missing part", { output: undefined }],
  ["a part nobody knows", { extra: 1 }],
  ["a negative count", { attempt: -1 }],
])("the result schema refuses %s", (_name, differences) => {
  expect(() => checkResult(JSON.parse(JSON.stringify({ ...aResult(), ...differences })))).toThrow();
});

test.each<[JsonObject, ReturnType<typeof readProgress>]>([
  [
    { progress: 0.4, message: "half" },
    { progress: 0.4, message: "half" },
  ],
  [{ progress: 1 }, { progress: 1, message: null }],
  [{ message: "words" }, { progress: null, message: "words" }],
  [{ progress: 1.1 }, null],
  [{ progress: "0.4" }, null],
  [{ message: 4 }, null],
  [{ progress: 0.4, more: 1 }, null],
  [{}, null],
])("progress %j is read as %j", (line, progress) => {
  expect(readProgress(line)).toEqual(progress);
});
