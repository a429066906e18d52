// Writes down what the validator's library makes of the schemas that most commands meet, so that a start neither loads nor asks it.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import standalone from "ajv/dist/standalone/index.js";
import { loadConfig } from "../src/app/config.ts";
import { taskSchema } from "../src/schema/task-schema.ts";
import { schemaCompiler, schemaKey } from "../src/schema/validator.ts";
import { builtInTools } from "../src/tools/catalog.ts";
import { checkout } from "./step.mjs";

/** Into `folder`, a module for each schema. That of requests is of this machine and these settings: under others it is made when it is met. */
export async function writeValidators(folder) {
  const { limitRules, hostCpus } = loadConfig(checkout);
  const tools = builtInTools().flatMap(({ inputSchema, outputSchema }) => [inputSchema, outputSchema ?? {}]);
  await mkdir(folder, { recursive: true });
  for (const schema of [taskSchema(limitRules, hostCpus), ...tools]) {
    const compiler = schemaCompiler({ meta: false, source: true });
    const text = standalone.default(compiler, compiler.compile(schema));
    await writeFile(join(folder, `${schemaKey(schema)}.cjs`), text);
  }
}
