import { ExecutorError } from "../../model/failure.ts";
import type { Tool } from "../tool.ts";

/** A custom tool that was looked for: the tool, or what keeps it from being one. */
export type FoundTool =
  | { readonly kind: "tool"; readonly tool: Tool; readonly source: string }
  | ({ readonly kind: "broken" } & BrokenTool);

export interface BrokenTool {
  /** Its own name where that could be read, otherwise that of its folder, file or package. */
  readonly name: string;
  /** The folder, module or package it comes from. */
  readonly source: string;
  /** At least one, each a sentence. */
  readonly problems: readonly string[];
}

export const brokenTool = (name: string, source: string, problems: readonly string[]): FoundTool => ({
  kind: "broken",
  name,
  source,
  problems,
});

/** The sentences of a refusal. @throws the error itself, when it is none of ours. */
export function problemsOf(error: unknown): readonly string[] {
  if (!(error instanceof ExecutorError)) throw error;
  return error.details.length > 0 ? error.details.map(({ message }) => message) : [error.message];
}
