import { ExecutorError } from "../model/failure.ts";
import { nearest } from "../model/nearest.ts";
import { quoted } from "../model/quoted.ts";
import { codeInterpreterTool } from "./code_interpreter/code-interpreter.ts";
import { shellTool } from "./shell/shell.ts";
import type { Tool } from "./tool.ts";

/** The tools of one process, by name. */
export interface Catalog {
  /** @throws ExecutorError unknown_tool, naming those there are. */
  find(name: string): Tool;
  /** By name, in order. */
  list(): readonly Tool[];
}

/** Tools that the contract names and no version has yet. */
const notBuiltYet: ReadonlySet<string> = new Set(["http", "knowledge_base", "scanner", "migration", "test_suite"]);

/** @throws Error when two tools have one name: our bug. */
export function toolCatalog(tools: readonly Tool[]): Catalog {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  if (byName.size !== tools.length)
    throw new Error(`two tools with one name: ${tools.map((tool) => tool.name).join(", ")}`);
  const names = [...byName.keys()].sort();
  return {
    find(name) {
      const tool = byName.get(name);
      if (tool !== undefined) return tool;
      const there = `there ${names.length === 1 ? "is" : "are"} ${names.join(", ")}`;
      if (notBuiltYet.has(name)) {
        throw new ExecutorError("unknown_tool", `tool ${quoted(name)} is not built yet; ${there}`, {
          hint: `${name} comes with a later version`,
        });
      }
      const meant = nearest(name, names);
      throw new ExecutorError("unknown_tool", `no tool is named ${quoted(name)}; ${there}`, {
        hint: meant === null ? "toolx tools ls lists the tools" : `did you mean ${meant}?`,
      });
    },
    list: () => names.flatMap((name) => byName.get(name) ?? []),
  };
}

/** The tools that come with the program. */
export const builtInTools = (): readonly Tool[] => [shellTool(), codeInterpreterTool()];
