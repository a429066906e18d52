import { resolve } from "node:path";
import { extractTar } from "../adapters/disk/extract-tar.ts";
import { openArchive } from "../app/house.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { size } from "./summary.ts";
import { finishedResult } from "./task-lookup.ts";
import { terminalName } from "./terminal-text.ts";

/** `toolx artifacts ls`: the files a task kept, one a line. */
export async function artifactsLs(context: CliContext, key: TaskKey, json: boolean): Promise<void> {
  const { io } = context;
  await using archive = await openArchive(context.config());
  const { artifacts } = (await finishedResult(archive.store, key, io.interrupt)).output;
  if (json) return await written(io.stdout, `${JSON.stringify(artifacts)}\n`);
  const rows = artifacts.map(({ path, size_bytes, mime, sha256 }) => [
    terminalName(path),
    size(size_bytes),
    mime,
    sha256.slice(0, 12),
  ]);
  await written(io.stdout, table([["PATH", "SIZE", "TYPE", "SHA256"], ...rows]));
}

/** `toolx artifacts pull`: puts the kept files into a folder. */
export async function artifactsPull(
  context: CliContext,
  key: TaskKey,
  out: string | undefined,
  paths: readonly string[],
): Promise<void> {
  const folder = resolve(context.io.cwd, out ?? key.taskId);
  const pulled = await pullArtifacts(context, key, folder, paths);
  say(context.io, `${pulled} file${pulled === 1 ? "" : "s"} in ${terminalName(folder)}`);
}

/**
 * Extracts a finished task's artifacts below `folder`, all of them or those named; answers how many.
 * @throws ExecutorError validation, for a task or path that is not there; what was extracted before stays.
 */
export async function pullArtifacts(
  context: CliContext,
  key: TaskKey,
  folder: string,
  paths: readonly string[],
): Promise<number> {
  const { interrupt } = context.io;
  await using archive = await openArchive(context.config());
  const result = await finishedResult(archive.store, key, interrupt);
  const wanted = wantedPaths(result, key, paths);
  const { artifacts_object: object } = result.output;
  const tar = object === null ? null : await archive.objects.get(object, interrupt);
  if (tar === null) {
    if (result.output.artifacts.length === 0)
      throw new ExecutorError("validation", `task ${keyText(key)} kept no files`);
    throw new ExecutorError("internal", `task ${keyText(key)}: ${object} is gone from the object store`);
  }
  // Beside what is listed there may be notes of the tool's own.
  return await extractTar(tar, folder, wanted, paths.length === 0);
}

function wantedPaths(result: Result, key: TaskKey, paths: readonly string[]): ReadonlySet<string> {
  const there = new Set(result.output.artifacts.map(({ path }) => path));
  if (paths.length === 0) return there;
  for (const path of paths) {
    if (there.has(path)) continue;
    const names = [...there].slice(0, 10).map(terminalName).join(", ");
    throw new ExecutorError(
      "validation",
      `task ${keyText(key)} kept no file ${JSON.stringify(path)}; it kept: ${names || "none"}`,
    );
  }
  return new Set(paths);
}
