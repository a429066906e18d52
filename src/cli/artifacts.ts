import { resolve } from "node:path";
import { extractArtifacts } from "../adapters/disk/extract-artifacts.ts";
import { openArchive } from "../app/house.ts";
import { attemptPrefix } from "../model/attempt.ts";
import { ExecutorError } from "../model/failure.ts";
import { manifestKey } from "../model/manifest.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import { parseManifest } from "../schema/manifest.ts";
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
  if (object === null) throw new ExecutorError("validation", `task ${keyText(key)} kept no files`);
  const stored = async (name: string, range?: { readonly start: number; readonly end: number }) => {
    const bytes = await archive.objects.get(name, interrupt, range);
    if (bytes !== null) return bytes;
    throw new ExecutorError("internal", `task ${keyText(key)}: ${name} is gone from the object store`);
  };
  const name = manifestKey(attemptPrefix({ key, number: result.attempt }));
  const manifest = parseManifest(await gathered(await stored(name)), name);
  const tar = (start: number, end: number) => stored(object, { start, end });
  // Beside what is listed there may be notes of the tool's own.
  return await extractArtifacts(manifest, tar, folder, wanted, paths.length === 0);
}

async function gathered(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  // Copied: a chunk is good until the next is asked for.
  for await (const part of bytes) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
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
