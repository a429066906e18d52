import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { followJournal } from "../adapters/disk/follow-journal.ts";
import { diskScratch } from "../adapters/disk/scratch.ts";
import { type Archive, openArchive } from "../app/house.ts";
import { logLines } from "../executor/store-logs.ts";
import { ownerText } from "../model/owner.ts";
import type { TaskKey } from "../model/task.ts";
import type { LogEntry } from "../ports/log-sink.ts";
import type { TaskRecord } from "../ports/task-store.ts";
import type { CliContext } from "./context.ts";
import { type CliIo, say, written } from "./io.ts";
import { finishedResult, knownTask } from "./task-lookup.ts";
import { type TerminalText, terminalText } from "./terminal-text.ts";

/**
 * `toolx logs`: what a task wrote, its stdout on ours and its stderr on ours; `-o json` prints the lines of the log object. With `-f`
 * it goes on while the task runs, from any terminal of this host.
 */
export async function logsCommand(
  context: CliContext,
  key: TaskKey,
  flags: { readonly follow?: boolean; readonly output: string },
): Promise<void> {
  const { io } = context;
  const config = context.config();
  await using archive = await openArchive(config);
  const out = logOutput(io, flags.output === "json");
  const record = await knownTask(archive.store, key, io.interrupt);
  const lastSeq = record.resultBytes
    ? 0
    : await followed(archive, key, flags.follow === true, config.sandboxRoot, out, io.interrupt);
  if (io.interrupt.aborted) return;
  const { state } = await knownTask(archive.store, key, io.interrupt);
  if (state === "FINISHED") await stored(archive, key, lastSeq, out, io.interrupt);
  await out.end();
}

interface LogOutput {
  entries(entries: readonly LogEntry[]): Promise<void>;
  end(): Promise<void>;
}

/** Follows attempt after attempt until the task is finished; answers the last entry shown of the last attempt. */
async function followed(
  archive: Archive,
  key: TaskKey,
  follow: boolean,
  sandboxRoot: string,
  out: LogOutput,
  signal: AbortSignal,
): Promise<number> {
  const scratch = await diskScratch(sandboxRoot);
  const current = async (): Promise<TaskRecord> => knownTask(archive.store, key, signal);
  let lastSeq = 0;
  let seenAttempt = 0;
  for (let record = await current(); record.state !== "FINISHED" && !signal.aborted; record = await current()) {
    const { attempt, owner } = record;
    const prefix = `${key.tenantId}.${key.taskId}.${attempt}.`;
    const folder =
      owner === null
        ? undefined
        : (await scratch.list()).find(
            ({ path, owner: maker }) =>
              path.slice(sandboxRoot.length + 1).startsWith(prefix) && maker && ownerText(maker) === ownerText(owner),
          );
    if (folder === undefined) {
      if (!follow) return lastSeq;
      await new Promise((resolve) => setTimeout(resolve, 50));
      continue;
    }
    if (attempt !== seenAttempt) lastSeq = 0;
    seenAttempt = attempt;
    const isOver = async (): Promise<boolean> => {
      if (!follow) return true;
      const now = await current();
      return now.state === "FINISHED" || now.attempt !== attempt;
    };
    for await (const entries of followJournal(join(folder.path, "journal"), lastSeq, isOver, signal)) {
      const last = entries.findLast((entry) => entry.kind === "output");
      if (last?.kind === "output") lastSeq = last.seq;
      await out.entries(entries);
    }
    if (!follow) return lastSeq;
  }
  return lastSeq;
}

/** What the log object has after `lastSeq`. */
async function stored(
  archive: Archive,
  key: TaskKey,
  lastSeq: number,
  out: LogOutput,
  signal: AbortSignal,
): Promise<void> {
  const { logs_object: object } = (await finishedResult(archive.store, key, signal)).output;
  if (object === null) return;
  const bytes = await archive.objects.get(object, signal);
  if (bytes === null) return;
  let rest = "";
  for await (const chunk of Readable.from(copies(bytes)).pipe(createGunzip()).setEncoding("utf8")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    await out.entries(lines.map(readLine).filter((entry) => (entry.kind === "gap" ? entry.to : entry.seq) > lastSeq));
  }
}

/** A stream reads ahead, and a chunk is good until the next is asked for. */
async function* copies(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) yield Buffer.from(chunk);
}

function readLine(text: string): LogEntry {
  const line = JSON.parse(text);
  if (line.gap) return { kind: "gap", ...line.gap };
  const bytes = line.base64 === undefined ? Buffer.from(line.text, "utf8") : Buffer.from(line.base64, "base64");
  return { kind: "output", seq: line.seq, atMs: Date.parse(line.time), stream: line.stream, bytes };
}

function logOutput(io: CliIo, json: boolean): LogOutput {
  const filters: Record<"stdout" | "stderr", TerminalText | null> = {
    stdout: io.stdout.isTTY ? terminalText() : null,
    stderr: io.stderr.isTTY ? terminalText() : null,
  };
  return {
    async entries(entries) {
      if (json) return await written(io.stdout, [...logLines(entries)].join(""));
      for (const entry of entries) {
        if (entry.kind === "gap") say(io, `[… ${entry.bytes > 0 ? `${entry.bytes} bytes` : "some output"} left out …]`);
        else {
          const filter = filters[entry.stream];
          await written(io[entry.stream], filter ? filter.write(entry.bytes) : entry.bytes);
        }
      }
    },
    async end() {
      for (const stream of ["stdout", "stderr"] as const) await written(io[stream], filters[stream]?.end() ?? "");
    },
  };
}
