import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { toolPlaces } from "../app/custom-tools.ts";
import { openHouse } from "../app/house.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Images } from "../ports/sandbox.ts";
import { builtInTools, toolCatalog } from "../tools/catalog.ts";
import { findTools, toolsOf } from "../tools/custom/find-tools.ts";
import type { FoundTool } from "../tools/custom/found-tool.ts";
import type { Tool } from "../tools/tool.ts";
import { examplesOf } from "../tools/tool-problems.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";
import { terminalName } from "./terminal-text.ts";
import { brokenLines } from "./tools.ts";

/**
 * `toolx tools validate`: looks at the tools of these folders, modules and packages, or at all custom tools: manifests, schemas,
 * their examples, names that clash, and whether the images are there. A line each; 2 when something is wrong with one.
 */
export async function toolsValidate(context: CliContext, sources: readonly string[]): Promise<void> {
  const { io } = context;
  const found = await toolsAt(context, sources);
  const catalog = toolCatalog(builtInTools(), found);
  const sound = catalog.list().filter((tool) => found.some((each) => each.kind === "tool" && each.tool === tool));
  let isRight = catalog.broken().length === 0;
  for (const broken of catalog.broken()) for (const line of brokenLines(broken)) await written(io.stdout, `${line}\n`);
  if (sound.length > 0) {
    await using house = await openHouse(context.config());
    for (const tool of sound) {
      const problems = await imageProblems(tool, house.parts.images, io.interrupt);
      const examples = examplesOf(tool.inputSchema).length;
      for (const problem of problems) await written(io.stdout, `tool ${tool.name}: ${terminalName(problem)}\n`);
      if (problems.length > 0) isRight = false;
      else
        await written(
          io.stdout,
          `ok ${tool.name}: schemas, ${examples} example payload${examples === 1 ? "" : "s"}, image\n`,
        );
    }
  }
  if (found.length === 0) say(io, "there are no custom tools");
  if (!isRight) context.exitWith(2);
}

async function toolsAt({ io, config }: CliContext, sources: readonly string[]): Promise<readonly FoundTool[]> {
  const places = { ...toolPlaces(config()), cwd: io.cwd };
  if (sources.length === 0) return await findTools(places);
  const found: FoundTool[] = [];
  for (const source of sources) {
    // On a command line a bare word is a path first, as with every other program.
    const path = resolve(io.cwd, source);
    const isPath = await access(path).then(
      () => true,
      () => false,
    );
    found.push(...(await toolsOf(isPath ? path : source, places)));
  }
  return found;
}

/** Why an image of the tool cannot be used on this engine. */
async function imageProblems(tool: Tool, images: Images, signal: AbortSignal): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const name of tool.images) {
    try {
      if ((await images.resolve(name, signal)) === null)
        problems.push(`image ${name} is not allowed; allowed: ${images.names().join(", ")}`);
    } catch (error) {
      if (!(error instanceof ExecutorError)) throw error;
      problems.push(error.message);
    }
  }
  return problems;
}
