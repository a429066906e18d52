import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { ValidateFunction } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../../src/app/config.ts";
import { taskSchema } from "../../../src/schema/task-schema.ts";
import { schemaCompiler, schemaKey } from "../../../src/schema/validator.ts";
import { builtInTools } from "../../../src/tools/catalog.ts";
import { checkout } from "../../support/cli.ts";

let folder: string;
beforeAll(async () => {
  // Below the packages, as the program put together is.
  const cache = join(checkout, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  folder = await mkdtemp(join(cache, "validators-"));
  const script = new URL("../../../scripts/validators.mjs", import.meta.url).href;
  const { writeValidators }: { writeValidators(folder: string): Promise<void> } = await import(script);
  await writeValidators(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const { limitRules, hostCpus } = loadConfig(checkout);
const requests = taskSchema(limitRules, hostCpus);
const written = (schema: object): ValidateFunction =>
  createRequire(import.meta.url)(join(folder, `${schemaKey(schema as never)}.cjs`));

const task = { tool_name: "shell", payload: {} };
test.each<[string, unknown]>([
  ["a request that is right", task],
  [
    "one with everything wrong",
    { ...task, tool_name: 7, limits: { memory_mb: -1, nothing: 1 }, env: { "a=b": 1 }, more: [] },
  ],
  ["no object", []],
  ["null", null],
  ["a limit over the maximum", { ...task, limits: { memory_mb: 10 ** 9, cpus: 10 ** 6 } }],
  [
    "files of both kinds and of none",
    { ...task, files: [{ path: "a" }, { path: "b", content_base64: "x", sha256: "y" }] },
  ],
])("what is written down beforehand says the same of %s", (_what, value) => {
  const [now, before] = [schemaCompiler({ meta: false }).compile(requests), written(requests)];
  expect(before(value)).toBe(now(value));
  expect(before.errors).toEqual(now.errors);
});

test("so does a text that is too long in bytes and not in letters", () => {
  const schema = builtInTools().find(({ name }) => name === "knowledge_base")?.inputSchema ?? {};
  const [now, before] = [schemaCompiler({ meta: false }).compile(schema), written(schema)];
  const query = "ü".repeat(600);
  expect([now({ query }), before({ query })]).toEqual([false, false]);
  expect(before.errors).toEqual(now.errors);
  expect(before.errors?.map(({ keyword }) => keyword)).toContain("maxBytes");
});

test("it is there for each tool that comes with the program", async () => {
  const schemas = builtInTools().flatMap(({ inputSchema, outputSchema }) => [inputSchema, outputSchema ?? {}]);
  const names = await readdir(folder);
  for (const schema of [requests, ...schemas]) expect(names).toContain(`${schemaKey(schema)}.cjs`);
});

test("a schema that differs in anything has another key", () => {
  expect(schemaKey({ type: "string" })).not.toBe(schemaKey({ type: "string", maxLength: 1 }));
  expect(schemaKey({ type: "string" })).toBe(schemaKey({ type: "string" }));
});
