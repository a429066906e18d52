import { readdirSync, statSync } from "node:fs";
import { ExecutorError } from "../../model/failure.ts";
import { codeOf } from "./private-folder.ts";

/** What was read, or null where there is no such file. */
export function ifThere<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** What is in a folder; nothing where it is missing, which costs a look and no exception. */
export const namesIfThere = (folder: string): readonly string[] =>
  statSync(folder, { throwIfNoEntry: false }) === undefined ? [] : (ifThere(() => readdirSync(folder)) ?? []);

/** @throws ExecutorError internal, naming what was tried, the path and the system's own code. */
export function translated<T>(verb: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    throw new ExecutorError("internal", `${verb} ${path} (${codeOf(cause)})`, { cause });
  }
}
