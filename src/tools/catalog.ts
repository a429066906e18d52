import { ExecutorError } from "../model/failure.ts";
import type { Limits } from "../model/limits.ts";
import { nearest } from "../model/nearest.ts";
import { quoted } from "../model/quoted.ts";
import { codeInterpreterTool } from "./code_interpreter/code-interpreter.ts";
import type { BrokenTool, FoundTool } from "./custom/found-tool.ts";
import { httpTool } from "./http/http.ts";
import { knowledgeBaseTool } from "./knowledge_base/knowledge-base.ts";
import { shellTool } from "./shell/shell.ts";
import type { Tool } from "./tool.ts";
import { toolProblems } from "./tool-problems.ts";

/** The tools of one process, by name. */
export interface Catalog {
  /** @throws ExecutorError unknown_tool, naming those there are, or what is wrong with one that is broken. */
  find(name: string): Tool;
  /** A tool's own defaults; none for a name that no tool has. Looks into no schema. */
  limitsOf(name: string): Partial<Limits>;
  /** By name, in order; no broken one. */
  list(): readonly Tool[];
  /** Custom tools that cannot be used, each with the reasons. */
  broken(): readonly BrokenTool[];
}

/** Tools that the contract names and no version has yet. */
const notBuiltYet: ReadonlySet<string> = new Set(["scanner", "migration", "test_suite"]);

/** Words that `toolx run` understands as a tool with a language. */
const spokenFor: ReadonlySet<string> = new Set(["python", "node"]);

/**
 * The built-in tools and those that were found beside them. A name belongs to one tool: a built-in one keeps it, and of
 * several others none gets it. Schemas of found tools are looked into when somebody asks, since that takes time.
 * @throws Error when two built-in tools have one name: our bug.
 */
export function toolCatalog(builtIn: readonly Tool[], found: readonly FoundTool[] = []): Catalog {
  const byName = new Map(builtIn.map((tool) => [tool.name, tool]));
  if (byName.size !== builtIn.length)
    throw new Error(`two tools with one name: ${builtIn.map((tool) => tool.name).join(", ")}`);
  const custom = withoutClashes(found, byName);
  const checked = new Map<FoundTool, FoundTool>();
  const check = (each: FoundTool): FoundTool => {
    const known = checked.get(each);
    if (known !== undefined) return known;
    const judged = judge(each);
    checked.set(each, judged);
    return judged;
  };
  const names = (): readonly string[] =>
    [...byName.keys(), ...custom.flatMap((each) => (each.kind === "tool" ? each.tool.name : []))].sort();
  const named = (name: string): FoundTool | undefined => custom.find((each) => nameOf(each) === name);
  return {
    find(name) {
      const own = byName.get(name);
      if (own !== undefined) return own;
      const one = named(name);
      if (one === undefined) throw unknown(name, names());
      const judged = check(one);
      if (judged.kind === "tool") return judged.tool;
      const [first = "", ...rest] = judged.problems;
      throw new ExecutorError("unknown_tool", `tool ${quoted(name)} is broken: ${first}`, {
        hint: `mend ${judged.source}${rest.length === 0 ? "" : `, where ${rest.length} more is wrong`}; toolx tools validate says all of it`,
      });
    },
    limitsOf(name) {
      const one = named(name);
      return byName.get(name)?.limits ?? (one?.kind === "tool" ? one.tool.limits : {});
    },
    list: () =>
      [...byName.values(), ...custom.map(check).flatMap((each) => (each.kind === "tool" ? each.tool : []))].sort(
        (a, b) => (a.name < b.name ? -1 : 1),
      ),
    broken: () => custom.map(check).flatMap((each) => (each.kind === "broken" ? each : [])),
  };
}

const nameOf = (found: FoundTool): string => (found.kind === "tool" ? found.tool.name : found.name);

function withoutClashes(found: readonly FoundTool[], builtIn: ReadonlyMap<string, Tool>): readonly FoundTool[] {
  return found.map((each): FoundTool => {
    if (each.kind === "broken") return each;
    const { source } = each;
    const { name } = each.tool;
    const taken = (problem: string): FoundTool => ({ kind: "broken", name, source, problems: [problem] });
    if (builtIn.has(name)) return taken(`${name} is the name of a built-in tool`);
    if (notBuiltYet.has(name) || spokenFor.has(name))
      return taken(`the name ${name} is kept for a tool of the program's own`);
    const twin = found.find((other) => other !== each && other.kind === "tool" && other.tool.name === name);
    return twin === undefined ? each : taken(`${twin.source} brings a tool of the same name`);
  });
}

function judge(found: FoundTool): FoundTool {
  if (found.kind === "broken") return found;
  const problems = toolProblems(found.tool);
  return problems.length === 0 ? found : { kind: "broken", name: found.tool.name, source: found.source, problems };
}

function unknown(name: string, names: readonly string[]): ExecutorError {
  const there = `there ${names.length === 1 ? "is" : "are"} ${names.join(", ")}`;
  if (notBuiltYet.has(name)) {
    return new ExecutorError("unknown_tool", `tool ${quoted(name)} is not built yet; ${there}`, {
      hint: `${name} comes with a later version`,
    });
  }
  const meant = nearest(name, names);
  return new ExecutorError("unknown_tool", `no tool is named ${quoted(name)}; ${there}`, {
    hint: meant === null ? "toolx tools ls lists the tools" : `did you mean ${meant}?`,
  });
}

/** The tools that come with the program. */
export const builtInTools = (): readonly Tool[] => [
  shellTool(),
  codeInterpreterTool(),
  httpTool(),
  knowledgeBaseTool(),
];
