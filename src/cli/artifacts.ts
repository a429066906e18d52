import { resolve } from "node:path";
import { extractArtifacts } from "../adapters/disk/extract-artifacts.ts";
import { localFront } from "../app/front.ts";
import { openArchive } from "../app/house.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskKey } from "../model/task.ts";
import type { Front } from "../ports/front.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { openFrontOf, openServer } from "./server.ts";
import { size } from "./summary.ts";
import { finishedResult } from "./task-lookup.ts";
import { terminalName } from "./terminal-text.ts";

/** `toolx artifacts ls`: the files a task kept, one a line. */
export async function artifactsLs(context: CliContext, key: TaskKey, json: boolean): Promise<void> {
  const { io } = context;
  await using front = await openFrontOf(context);
  const { artifacts } = (await finishedResult(front, key, io.interrupt)).output;
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
  await using server = await openServer(context);
  if (server !== null) return await pullFrom(server, { key, folder, paths }, context.io.interrupt);
  await using archive = await openArchive(context.config());
  return await pullHere(
    localFront(context.config(), archive),
    archive.objects,
    { key, folder, paths },
    context.io.interrupt,
  );
}

interface Pull {
  readonly key: TaskKey;
  readonly folder: string;
  /** Empty: all. */
  readonly paths: readonly string[];
}

/** File by file, each checked by its hash. */
async function pullFrom(server: Front, { key, folder, paths }: Pull, signal: AbortSignal): Promise<number> {
  const result = await finishedResult(server, key, signal);
  const wanted = wantedPaths(result, key, paths);
  const manifest = await server.manifest(key, signal);
  if (manifest === null || result.output.artifacts_object === null) throw keptNothing(key);
  const { folders, entries } = manifest;
  if (paths.length === 0) await extractArtifacts({ folders, entries: [] }, unread, folder, null);
  let count = 0;
  for (const entry of entries.filter(({ path }) => wanted.has(path))) {
    const bytes = (start: number, end: number) => server.artifact(key, entry, { start, end }, signal);
    count += await extractArtifacts({ folders: [], entries: [{ ...entry, offset: 0 }] }, bytes, folder, null);
  }
  return count;
}

const unread = (): Promise<never> => Promise.reject(new Error("a folder has no bytes"));

/** From the tar, in one go where files stand side by side. */
async function pullHere(
  front: Front,
  objects: ObjectStore,
  { key, folder, paths }: Pull,
  signal: AbortSignal,
): Promise<number> {
  const result = await finishedResult(front, key, signal);
  const wanted = wantedPaths(result, key, paths);
  const manifest = await front.manifest(key, signal);
  const { artifacts_object: object } = result.output;
  if (manifest === null || object === null) throw keptNothing(key);
  const tar = async (start: number, end: number) => {
    const bytes = await objects.get(object, signal, { start, end });
    if (bytes !== null) return bytes;
    throw new ExecutorError("internal", `task ${keyText(key)}: ${object} is gone from the object store`);
  };
  // Beside what is listed there may be notes of the tool's own.
  return await extractArtifacts(manifest, tar, folder, wanted, paths.length === 0);
}

const keptNothing = (key: TaskKey): ExecutorError =>
  new ExecutorError("validation", `task ${keyText(key)} kept no files`);

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
