import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileJournal } from "../../../src/adapters/disk/file-journal.ts";
import { diskScratch } from "../../../src/adapters/disk/scratch.ts";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { pulse } from "../../../src/app/pulse.ts";
import { taskEvents } from "../../../src/app/task-events.ts";
import { logLines } from "../../../src/executor/store-logs.ts";
import { logStart, parsePosition } from "../../../src/model/log-position.ts";
import { taskKey } from "../../../src/model/task.ts";
import type { TaskEvent } from "../../../src/ports/front.ts";
import type { LogEntry } from "../../../src/ports/log-sink.ts";
import { anOwner, aResult, aTask, never } from "../../support/samples.ts";

const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const key = taskKey(aTask());

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "task-events-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const output = (seq: number, bytes: Buffer): LogEntry => ({ kind: "output", seq, atMs: 0, stream: "stdout", bytes });

/** Two entries that share a character, and one that ends in half of another. */
const entries = [
  output(1, Buffer.from("a\n")),
  output(2, Buffer.from([0x62, 0xc3])),
  output(3, Buffer.from([0xa4, 0x0a])),
  output(4, Buffer.from([0x7a, 0xe2, 0x82])),
];

const linesOf = (events: readonly TaskEvent[]): readonly string[] =>
  events.flatMap((event) => (event.kind === "line" ? [event.line] : []));

async function collected(events: AsyncIterable<TaskEvent>): Promise<readonly TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe("what a task did", () => {
  test.each([true, false])(
    "read in two halves, live and then stored, is what is stored; with a pulse: %s",
    async (withPulse) => {
      const store = memoryTaskStore(clock);
      const objects = memoryObjectStore();
      const live = pulse();
      await store.intake(aTask(), "h1", never());
      const attempt = await store.leaseTask(key, anOwner(), 60_000, never());
      if (attempt === null) throw new Error("not leased");
      const scratch = await diskScratch(join(root, "scratch"));
      const folder = await scratch.make(attempt);
      const sources = { store, objects, sandboxRoot: join(root, "scratch"), pulse: withPulse ? live : null };
      const stored = [...logLines(entries)].map((line) => line.trimEnd());
      expect(stored).toHaveLength(5);

      await using journal = await fileJournal(join(folder, "journal"), 1024);
      journal.append(entries.slice(0, 2));
      const seen: TaskEvent[] = [];
      for await (const event of taskEvents(sources, key, logStart, true, never())) {
        seen.push(event);
        // The line of entry 2 lacks the half of its last character.
        if (linesOf(seen).length === 2) break;
      }
      journal.append(entries.slice(2));
      const object = "tasks/acme/t-1/1/logs.ndjson.gz";
      const end = async (): Promise<void> => {
        await objects.put(object, Readable.from([gzipSync([...logLines(entries)].join(""))]), never());
        const result = aResult({ output: { ...aResult().output, logs_object: object } });
        await store.finish(attempt, result, Buffer.from(JSON.stringify(result)), never());
        live.beat(key, { kind: "state", state: "FINISHED" });
      };
      const after = parsePosition("1.2") ?? logStart;
      const rest: TaskEvent[] = [];
      for await (const event of taskEvents(sources, key, after, true, never())) {
        rest.push(event);
        if (linesOf(rest).length === 2) await end();
      }
      expect([...linesOf(seen), ...linesOf(rest)]).toEqual(stored);
      expect(rest.at(-1)).toEqual({ kind: "state", state: "FINISHED", attempt: 1 });
      for (const [index, place] of ["0", "1.1", "1.2", "1.3", "1.4", "1.4.1"].entries())
        expect(
          linesOf(await collected(taskEvents(sources, key, parsePosition(place) ?? logStart, true, never()))),
        ).toEqual(stored.slice(index));
    },
  );

  test("is nothing for a task that is not there, and ends when the reader's signal does", async () => {
    const store = memoryTaskStore(clock);
    const sources = { store, objects: memoryObjectStore(), sandboxRoot: join(root, "scratch"), pulse: pulse() };
    expect(await collected(taskEvents(sources, key, logStart, true, never()))).toEqual([]);
    await store.intake(aTask(), "h1", never());
    const stop = new AbortController();
    const events = collected(taskEvents(sources, key, logStart, true, stop.signal));
    stop.abort();
    expect(await events).toEqual([{ kind: "state", state: "QUEUED", attempt: 0 }]);
  });
});
