import { join } from "node:path";
import { builtInTools, type Catalog, toolCatalog } from "../tools/catalog.ts";
import { findTools, type ToolPlaces } from "../tools/custom/find-tools.ts";
import type { Config } from "./config.ts";

/** The folder of tools that is looked into without a setting. */
export const toolsDirOf = ({ dataDir }: Pick<Config, "dataDir">): string => join(dataDir, "tools");

/** Where custom tools are looked for. */
export const toolPlaces = (config: Config): ToolPlaces => ({
  toolsDir: toolsDirOf(config),
  sources: config.toolSources,
  cwd: process.cwd(),
  packagesFrom: [config.dataDir, process.cwd(), config.programDir],
});

/** The built-in tools and the operator's own; a broken one is part of the answer, never a failure of the whole. */
export async function openCatalog(config: Config): Promise<Catalog> {
  return toolCatalog(builtInTools(), await findTools(toolPlaces(config)));
}
