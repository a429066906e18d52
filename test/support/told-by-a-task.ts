import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { attemptJournals } from "../../src/adapters/disk/attempt-journals.ts";
import { diskScratch } from "../../src/adapters/disk/scratch.ts";
import { type MemoryTask, memorySandboxes } from "../../src/adapters/memory/memory-sandboxes.ts";
import type { Parts, SecretsInArtifacts } from "../../src/executor/parts.ts";
import { submit } from "../../src/executor/submit.ts";
import type { Result } from "../../src/model/result.ts";
import { taskKey } from "../../src/model/task.ts";
import { metrics } from "../../src/observe/metrics.ts";
import { noTracing, type SpanAttributes } from "../../src/observe/tracing.ts";
import type { LogEntry } from "../../src/ports/log-sink.ts";
import type { SandboxCommand } from "../../src/ports/sandbox.ts";
import { endOfTar, paxHeader, paxRecord, tarEntry } from "./hostile-tar.ts";
import { partsWithoutEngine } from "./parts-without-engine.ts";
import { never } from "./samples.ts";
import { wholeObject } from "./stored-artifacts.ts";

/** What was told of one task, by where it was told. Pieces of a stream are put together: a secret may be cut between them. */
export type Told = Readonly<Record<string, Buffer>>;

export interface ToldTask {
  readonly result: Result;
  readonly told: Told;
  /** What its sandbox was given. */
  readonly command: SandboxCommand | null;
  /** Sandboxes that were made. */
  readonly madeCount: number;
  readonly strikes: number;
}

export interface Telling {
  /** By name, of the tenant `acme`. */
  readonly secrets: Readonly<Record<string, Uint8Array>>;
  readonly does: (command: SandboxCommand) => MemoryTask;
  readonly inArtifacts?: SecretsInArtifacts;
  readonly request?: object;
  readonly parts?: Partial<Parts>;
}

let taskCount = 0;

/** One task with secrets on the whole line, on sandboxes of `src/adapters/memory`, and everything that anybody hears of it. */
export async function toldByATask(telling: Telling): Promise<ToldTask> {
  const root = await mkdtemp(join(tmpdir(), "told-"));
  try {
    return await toldWithin(root, telling);
  } finally {
    await rm(root, { recursive: true });
  }
}

async function toldWithin(
  root: string,
  { secrets, does, inArtifacts = "flag", request = {}, parts: more = {} }: Telling,
): Promise<ToldTask> {
  const told = recorder();
  const journals = attemptJournals(await diskScratch(join(root, "scratch")));
  let command: SandboxCommand | null = null;
  const sandboxes = memorySandboxes((given) => {
    command = given;
    return does(given);
  });
  let madeCount = 0;
  const { parts: usual, parseTask } = await partsWithoutEngine({
    secrets: [
      {
        find: async (tenantId, name) => (tenantId === "acme" ? (secrets[name] ?? null) : null),
      },
    ],
    sandboxes: {
      ...sandboxes,
      async create(...given) {
        madeCount += 1;
        return await sandboxes.create(...given);
      },
    },
    logSink: {
      write: (_attempt, entries) => told.entries("log sink", entries),
      dropped: () => 0,
      [Symbol.asyncDispose]: async () => undefined,
    },
    log: {
      attemptFinished: () => undefined,
      attemptReleased: () => undefined,
      note: (...said) => told.json("our log", said),
    },
    tracing: {
      ...noTracing,
      begin(name, { attributes }) {
        const note = (noted: SpanAttributes = {}): void => told.json("spans", [name, noted]);
        note(attributes);
        return { traceparent: null, note, failed: (reason) => note({ reason }), [Symbol.dispose]: () => undefined };
      },
    },
    async openJournal(attempt, capBytes) {
      const journal = await journals.openJournal(attempt, capBytes);
      return {
        ...journal,
        append(entries) {
          told.entries("journal", entries);
          journal.append(entries);
        },
        async [Symbol.asyncDispose]() {
          for (const file of await filesBelow(root)) told.bytes("scratch", file);
          await journal[Symbol.asyncDispose]();
        },
      };
    },
    ...more,
  });
  const parts = { ...usual, policy: { ...usual.policy, secretsInArtifacts: inArtifacts, inlineBytes: 64 * 1024 } };
  taskCount += 1;
  const task = parseTask({
    ...{ task_id: `told-${taskCount}`, tenant_id: "acme", tool_name: "shell", payload: { command: "true" } },
    secrets: Object.keys(secrets).map((name) => ({ name, as: "env" })),
    ...request,
  });
  const watched = { stdin: null, watcher: told.live };
  const result = await submit(parts, task, watched, never());
  const record = await parts.store.get(taskKey(task), never());
  told.json("result", result);
  told.bytes("stored result", record?.resultBytes ?? Buffer.alloc(0));
  told.json("row", { ...record, resultBytes: null });
  for (const { value, headers } of await parts.store.claimOutbox(10, 1000, never())) {
    told.bytes("message", value ?? Buffer.alloc(0));
    told.json("message", headers);
  }
  for (const { key } of await parts.objects.list("tasks", never())) {
    const bytes = await wholeObject(parts.objects, key);
    told.bytes("names of objects", Buffer.from(`${key}\n`));
    if (key.endsWith("logs.ndjson.gz")) told.logLines(gunzipSync(bytes));
    else told.bytes(key.endsWith(".tar") ? "artifacts" : "manifest", bytes);
  }
  const counted = metrics();
  counted.taskFinished(result);
  told.bytes("metrics", Buffer.from(await counted.text()));
  return { result, told: told.all(), command, madeCount, strikes: record?.strikes ?? 0 };
}

function recorder() {
  const pieces = new Map<string, Buffer[]>();
  const bytes = (sink: string, piece: Uint8Array): void => {
    // Copied: what streams hand out is good for one turn.
    pieces.set(sink, [...(pieces.get(sink) ?? []), Buffer.from(piece)]);
  };
  const json = (sink: string, value: unknown): void => bytes(sink, Buffer.from(`${JSON.stringify(value)}\n`));
  const entries = (sink: string, all: readonly LogEntry[]): void => {
    for (const entry of all) if (entry.kind === "output") bytes(`${sink}, ${entry.stream}`, entry.bytes);
  };
  const live: Parameters<typeof submit>[2]["watcher"] = (event) => {
    if (event.kind === "output") bytes(`watcher, ${event.stream}`, event.bytes);
    else json("watcher", event);
  };
  const logLines = (text: Buffer): void => {
    bytes("log object", text);
    for (const line of text.toString().trim().split("\n").filter(Boolean)) {
      const { stream, text: plain, base64 } = JSON.parse(line);
      bytes(`log object, ${stream}`, base64 === undefined ? Buffer.from(String(plain)) : Buffer.from(base64, "base64"));
    }
  };
  const all = (): Told => Object.fromEntries([...pieces].map(([sink, some]) => [sink, Buffer.concat(some)]));
  return { bytes, json, entries, live, logLines, all };
}

async function filesBelow(folder: string): Promise<readonly Buffer[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return await Promise.all(
    found.filter((each) => each.isFile()).map((each) => readFile(join(each.parentPath, each.name))),
  );
}

/** A tar as a sandbox sends it: plain files, in this order, cut into pieces of so many bytes. */
export function tarOf(
  files: readonly (readonly [name: string | Buffer, content: string | Buffer])[],
  pieceBytes = Number.POSITIVE_INFINITY,
): readonly Buffer[] {
  const whole = Buffer.concat([...files.map(([name, content]) => namedEntry(Buffer.from(name), content)), endOfTar]);
  const length = Math.min(pieceBytes, whole.length);
  return Array.from({ length: Math.ceil(whole.length / length) }, (_, at) =>
    whole.subarray(at * length, (at + 1) * length),
  );
}

/** With a name that its header has no room for, or that is not ASCII, in a header of its own. */
const namedEntry = (name: Buffer, content: string | Buffer): Buffer =>
  name.length < 100 && name.every((byte) => byte > 0x1f && byte < 0x7f)
    ? tarEntry(name, content)
    : Buffer.concat([paxHeader(paxRecord("path", name)), tarEntry("long", content)]);
