import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import openapi, { astToString, type OpenAPI3 } from "openapi-typescript";
import { expect, test } from "vitest";
import { defaultLimitRules } from "../../../src/model/limits.ts";
import { resultSchema } from "../../../src/schema/result-schema.ts";
import { taskSchema } from "../../../src/schema/task-schema.ts";
import { bareDoor } from "../../support/bare-door.ts";

const path = join(import.meta.dirname, "../../../src/client/api.ts");
const head = "// Made from the description at /docs: TOOLX_GOLDEN=write npx vitest run test/unit/client\n";

test("the client's types are those of the description that a server gives", async () => {
  const schemas = { task: taskSchema(defaultLimitRules, 64), result: resultSchema };
  await using door = await bareDoor({}, { schemas });
  const description = (await (await fetch(`${door.url}/docs`)).json()) as OpenAPI3;
  const made = head + astToString(await openapi(description, { emptyObjectsUnknown: true }));
  if (process.env.TOOLX_GOLDEN === "write") await writeFile(path, made);
  expect(await readFile(path, "utf8")).toBe(made);
});
