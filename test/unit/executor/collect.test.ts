import { expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memorySandboxes } from "../../../src/adapters/memory/memory-sandboxes.ts";
import { type Asking, collect } from "../../../src/executor/collect.ts";
import type { Sandbox, SandboxEvent } from "../../../src/ports/sandbox.ts";
import { aTask, never } from "../../support/samples.ts";
import { tarOf } from "../../support/told-by-a-task.ts";

const mib = 1024 * 1024;
const caps = { maxBytes: 64 * mib, maxEntries: 50, maxDepth: 8 };

/** A sandbox whose task has ended and left this, and what it is asked and told. */
async function ended(content: Buffer) {
  const sandboxes = memorySandboxes(() => ({ leaves: tarOf([["kept", content]], 64 * 1024) }));
  const spec = { image: { name: "x", id: "x", env: {} }, runtime: "runc", limits: aTask().limits };
  const made = await sandboxes.create(spec, never());
  const [acked, asked]: [number[], number[]] = [[], []];
  const sandbox: Sandbox = {
    ...made,
    ack: (seq) => void acked.push(seq),
    collect(of, onNumber) {
      made.collect(of, (seq) => {
        asked.push(seq);
        onNumber?.(seq);
      });
    },
  };
  await sandbox.start({ argv: [], env: {}, cwd: "/", stdin: false, deadlineMs: 1000, graceMs: 1000 }, never());
  await nextOf(sandbox);
  const objects = memoryObjectStore();
  const collected = (asking: Asking) =>
    collect(sandbox, asking, caps, { maxBytes: new Map(), unlisted: null }, objects, "p", null, never());
  return { sandbox, collected, acked, asked };
}

async function nextOf(sandbox: Sandbox): Promise<readonly SandboxEvent[]> {
  for await (const batch of sandbox.events()) return batch;
  return [];
}

test("of what a successor could collect again nothing is acknowledged, its end neither", async () => {
  const { collected, acked, asked } = await ended(Buffer.alloc(900_000, 1));
  const heard: number[] = [];
  const found = await collected({ isAsked: false, rest: [], onNumber: (seq) => heard.push(seq) });
  expect(found.entries).toMatchObject([{ path: "kept", size_bytes: 900_000 }]);
  expect(acked).toEqual([]);
  expect(found.endSeq).toBeGreaterThan(0);
  expect(heard).toEqual(asked);
  expect(asked).toHaveLength(1);
});

test("what is more is acknowledged as it comes, but for its end: a sandbox keeps no more than 4 MiB", async () => {
  const { collected, acked } = await ended(Buffer.alloc(8 * mib, 1));
  const found = await collected({ isAsked: false, rest: [], onNumber: () => undefined });
  expect(found.entries).toMatchObject([{ path: "kept", size_bytes: 8 * mib }]);
  expect(acked.length).toBeGreaterThan(100);
  expect(acked.at(-1)).toBeLessThan(found.endSeq ?? 0);
});

test("a sandbox that was asked by another is not asked again, and what it has said of it already counts", async () => {
  const { sandbox, collected, asked } = await ended(Buffer.alloc(200_000, 1));
  sandbox.collect(caps);
  const rest = await nextOf(sandbox);
  expect(rest.map(({ kind }) => kind)).toContain("end");
  const found = await collected({ isAsked: true, rest, onNumber: () => undefined });
  expect(found.entries).toMatchObject([{ path: "kept", size_bytes: 200_000 }]);
  expect(found.endSeq).toBeGreaterThan(0);
  expect(asked).toHaveLength(1);
});
