import { builtInTools, toolCatalog } from "../tools/catalog.ts";
import type { Tool } from "../tools/tool.ts";
import type { CliContext } from "./context.ts";
import { table, written } from "./io.ts";

/** `toolx tools ls`. */
export async function toolsLs({ io }: CliContext, json: boolean): Promise<void> {
  const tools = toolCatalog(builtInTools()).list();
  if (json) return await written(io.stdout, `${JSON.stringify(tools.map(described))}\n`);
  const rows = tools.map(({ name, images, description }) => [name, images.join(", "), description]);
  await written(io.stdout, table([["TOOL", "IMAGES", "WHAT IT DOES"], ...rows]));
}

/** `toolx tools describe`. @throws ExecutorError unknown_tool, naming those there are. */
export async function toolsDescribe({ io }: CliContext, name: string, json: boolean): Promise<void> {
  const tool = described(toolCatalog(builtInTools()).find(name));
  await written(io.stdout, `${json ? JSON.stringify(tool) : JSON.stringify(tool, null, 2)}\n`);
}

function described({ name, description, images, runtime, limits, retry, inputSchema, outputSchema }: Tool): object {
  return { name, description, images, runtime, limits, retry, input_schema: inputSchema, output_schema: outputSchema };
}
