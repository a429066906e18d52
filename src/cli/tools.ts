import { openCatalog } from "../app/custom-tools.ts";
import type { BrokenTool } from "../tools/custom/found-tool.ts";
import type { Tool } from "../tools/tool.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { terminalName } from "./terminal-text.ts";

/** `toolx tools ls`. A custom tool that is broken is named on stderr, and stops nothing. */
export async function toolsLs(context: CliContext, json: boolean): Promise<void> {
  const { io } = context;
  const catalog = await openCatalog(context.config());
  const tools = catalog.list();
  if (json) await written(io.stdout, `${JSON.stringify(tools.map(described))}\n`);
  else {
    const rows = tools.map(({ name, images, description }) => [name, images.join(", "), description]);
    await written(io.stdout, table([["TOOL", "IMAGES", "WHAT IT DOES"], ...rows]));
  }
  for (const broken of catalog.broken()) for (const line of brokenLines(broken)) say(io, `toolx: ${line}`);
}

/** One line for each thing that is wrong with a tool. */
export const brokenLines = ({ name, source, problems }: BrokenTool): readonly string[] =>
  problems.map((problem) => `broken tool ${terminalName(name)} (${terminalName(source)}): ${terminalName(problem)}`);

/** `toolx tools describe`. @throws ExecutorError unknown_tool, naming those there are. */
export async function toolsDescribe(context: CliContext, name: string, json: boolean): Promise<void> {
  const tool = described((await openCatalog(context.config())).find(name));
  await written(context.io.stdout, `${json ? JSON.stringify(tool) : JSON.stringify(tool, null, 2)}\n`);
}

function described({ name, description, images, runtime, limits, retry, inputSchema, outputSchema }: Tool): object {
  return { name, description, images, runtime, limits, retry, input_schema: inputSchema, output_schema: outputSchema };
}
