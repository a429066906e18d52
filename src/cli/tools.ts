import { openCatalog } from "../app/custom-tools.ts";
import { toolReport } from "../app/tool-report.ts";
import type { BrokenToolReport, ToolReport } from "../ports/front.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { openServer } from "./server.ts";
import { terminalName } from "./terminal-text.ts";

/** `toolx tools ls`. A custom tool that is broken is named on stderr, and stops nothing. */
export async function toolsLs(context: CliContext, json: boolean): Promise<void> {
  const { io } = context;
  const { tools, broken } = await reported(context);
  if (json) await written(io.stdout, `${JSON.stringify(tools)}\n`);
  else {
    const rows = tools.map(({ name, images, description }) => [
      String(name),
      Array.isArray(images) ? images.join(", ") : "",
      String(description),
    ]);
    await written(io.stdout, table([["TOOL", "IMAGES", "WHAT IT DOES"], ...rows]));
  }
  for (const each of broken) for (const line of brokenLines(each)) say(io, `toolx: ${line}`);
}

/** One line for each thing that is wrong with a tool. */
export const brokenLines = ({ name, source, problems }: BrokenToolReport): readonly string[] =>
  problems.map((problem) => `broken tool ${terminalName(name)} (${terminalName(source)}): ${terminalName(problem)}`);

/** `toolx tools describe`. @throws ExecutorError unknown_tool, naming those there are. */
export async function toolsDescribe(context: CliContext, name: string, json: boolean): Promise<void> {
  const { tools } = await reported(context);
  const tool = tools.find((each) => each.name === name);
  // The catalog here has the words for one that is not there.
  const shown = tool ?? toolReport([(await openCatalog(context.config())).find(name)], []).tools[0];
  await written(context.io.stdout, `${json ? JSON.stringify(shown) : JSON.stringify(shown, null, 2)}\n`);
}

async function reported(context: CliContext): Promise<ToolReport> {
  await using server = await openServer(context);
  if (server !== null) return await server.tools(context.io.interrupt);
  const catalog = await openCatalog(context.config());
  return toolReport(catalog.list(), catalog.broken());
}
