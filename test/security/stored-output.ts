import { createHash, type Hash } from "node:crypto";
import { type Dirent, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import type { Watcher } from "../../src/executor/parts.ts";
import type { Ground, Ran, Request } from "./ground.ts";

const mib = 1024 * 1024;
const never = new AbortController().signal;

type Stream = "stdout" | "stderr";

/** One line of a stored log. */
export type LogRecord =
  | {
      readonly seq: number;
      readonly time: string;
      readonly stream: Stream;
      readonly text?: string;
      readonly base64?: string;
    }
  | { readonly gap: { readonly from: number; readonly to: number; readonly bytes: number } };

/** The lines of `logs.ndjson.gz`, each parsed; none for a task that wrote nothing. */
export async function storedLog({ house }: Ground, { result }: Ran): Promise<readonly LogRecord[]> {
  const { logs_object: key } = result.output;
  if (key === null) return [];
  const pieces: Buffer[] = [];
  for await (const piece of (await house.parts.objects.get(key, never)) ?? []) pieces.push(Buffer.from(piece));
  const lines = gunzipSync(Buffer.concat(pieces)).toString("utf8").split("\n");
  expect(lines.pop(), "the end of the last line").toBe("");
  return lines.map((line) => JSON.parse(line));
}

/** What of one stream a stored log holds. */
export const loggedBytes = (log: readonly LogRecord[], stream: Stream): Buffer =>
  Buffer.concat(
    log.flatMap((record) => {
      if ("gap" in record || record.stream !== stream) return [];
      return [record.base64 === undefined ? Buffer.from(record.text ?? "") : Buffer.from(record.base64, "base64")];
    }),
  );

export const gapsOf = (log: readonly LogRecord[]) => log.flatMap((record) => ("gap" in record ? [record.gap] : []));

/** What a result carries of a stream, as bytes. */
export const inlineBytes = ({ output }: Ran["result"], stream: Stream): Buffer =>
  Buffer.from(output[stream], output[`${stream}_encoding`] === "base64" ? "base64" : "utf8");

/** What was seen while a task ran. */
export interface Seen {
  readonly ran: Ran;
  readonly bytes: Readonly<Record<Stream, number>>;
  readonly sha256: Readonly<Record<Stream, string>>;
  readonly progressCount: number;
  /** The most that stood in the scratch folder, and the most that this process grew by. */
  readonly peakScratchBytes: number;
  readonly peakGrowthBytes: number;
}

/** Runs a task with a live reader that keeps up and keeps nothing. */
export async function watched(ground: Ground, request: Request): Promise<Seen> {
  const hashes: Record<Stream, Hash> = { stdout: createHash("sha256"), stderr: createHash("sha256") };
  const bytes = { stdout: 0, stderr: 0 };
  let progressCount = 0;
  const watcher: Watcher = (event) => {
    if (event.kind === "progress") progressCount += 1;
    if (event.kind !== "output") return;
    bytes[event.stream] += event.bytes.length;
    hashes[event.stream].update(event.bytes);
  };
  const before = process.memoryUsage.rss();
  let [peakScratchBytes, peakRssBytes] = [0, before];
  const looking = setInterval(() => {
    peakScratchBytes = Math.max(peakScratchBytes, folderBytes(ground.house.config.sandboxRoot));
    peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
  }, 25);
  try {
    const ran = await ground.run(request, { watcher });
    const sha256 = { stdout: hashes.stdout.digest("hex"), stderr: hashes.stderr.digest("hex") };
    return { ran, bytes, sha256, progressCount, peakScratchBytes, peakGrowthBytes: peakRssBytes - before };
  } finally {
    clearInterval(looking);
  }
}

/** Journals of other tasks, which run beside, are in the sum: they write nothing. */
function folderBytes(folder: string): number {
  let sum = 0;
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += folderBytes(path);
    else sum += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

/** Tasks' folders and segments come and go while they are counted. */
function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

const followerBytes = 8 * mib;
const segmentBytes = mib;
/** The largest batch that is appended to a journal before it is looked at again: what a sandbox may say unacknowledged. */
const batchBytes = 4 * mib;

/**
 * That every byte is accounted for: counted by the sandbox, seen live, and either kept or in the gap; and that neither memory nor disk
 * grew with what was written.
 */
export async function expectAccounted(
  ground: Ground,
  { ran, bytes, peakScratchBytes, peakGrowthBytes }: Seen,
  written: Readonly<Record<Stream, number>>,
  logMb: number,
): Promise<void> {
  const { output } = ran.result;
  expect(bytes, "bytes a live reader saw").toEqual(written);
  expect({ stdout: output.stdout_bytes, stderr: output.stderr_bytes }, "bytes the result tells").toEqual(written);
  const log = await storedLog(ground, ran);
  const kept = loggedBytes(log, "stdout").length + loggedBytes(log, "stderr").length;
  const left = gapsOf(log).reduce((sum, gap) => sum + gap.bytes, 0);
  expect(kept + left, "bytes kept and in the gap").toBe(written.stdout + written.stderr);
  expect(kept, "bytes kept").toBeLessThanOrEqual(logMb * mib);
  expect(gapsOf(log).length, "gaps").toBe(output.truncated ? 1 : 0);
  expect(output.truncated).toBe(written.stdout + written.stderr > kept);
  for (const stream of ["stdout", "stderr"] as const)
    expect(inlineBytes(ran.result, stream).length, `${stream} in the result`).toBeLessThanOrEqual(64 * 1024 + 64);
  const capBytes = Math.max(logMb * mib, (logMb * mib) / 2 + followerBytes) + segmentBytes + batchBytes;
  expect(peakScratchBytes, "the journal on disk").toBeLessThanOrEqual(capBytes * 1.1);
  expect(peakGrowthBytes / mib, "this process's growth, MiB").toBeLessThan(64);
}
