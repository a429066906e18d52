import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { fileLogSink } from "../../../src/adapters/disk/file-log-sink.ts";
import type { Attempt } from "../../../src/model/attempt.ts";
import type { LogSink } from "../../../src/ports/log-sink.ts";
import type { Ground, Ran } from "../ground.ts";
import { brief, expectReason, type HostileCase, hostile, shell } from "../hostile-case.ts";
import { loggedBytes, storedLog } from "../stored-output.ts";

const lines = shell("seq 1000000; sleep 0.2", { timeout_seconds: 60 });
const writtenBytes = 6_888_896;

/** What stands where an attempt's log should be written to. */
type Place = (path: string) => void;

interface CountedSink extends LogSink {
  /** Entries that it was given. */
  given(): number;
}

/** The real sink on a disk with `place` in its way. */
function sinkAt(root: string, place: Place): CountedSink {
  const inner = fileLogSink(root);
  const prepared = new Set<Attempt>();
  let given = 0;
  return {
    ...inner,
    write(attempt, entries, toolName) {
      if (!prepared.has(attempt)) {
        prepared.add(attempt);
        const path = join(root, attempt.key.tenantId, `${attempt.key.taskId}.${attempt.number}.ndjson`);
        mkdirSync(dirname(path), { recursive: true });
        place(path);
      }
      given += entries.length;
      inner.write(attempt, entries, toolName);
    },
    given: () => given,
  };
}

/** A process that reads a pipe as this shell line does, until dispose. */
function reader(path: string, line: string): Disposable {
  const child = spawn("sh", ["-c", line, "sh", path], { stdio: "ignore" });
  return { [Symbol.dispose]: () => void child.kill("SIGKILL") };
}

async function ranWith(ground: Ground, logSink: LogSink): Promise<Ran> {
  const { house } = ground;
  return await ground.run(lines, { house: { ...house, parts: { ...house.parts, logSink } } });
}

/** Neither the end nor the stored output knows of the sink, and the task is not slower than with one that works: best of three. */
async function expectUnhurt(ground: Ground, logSink: () => LogSink): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 3 && best > 1.5; tries += 1) {
    const idle = await ground.run(lines);
    const ran = await ranWith(ground, logSink());
    for (const { result } of [idle, ran]) {
      expectReason(result, "ok");
      expect(result.output).toMatchObject({ stdout_bytes: writtenBytes, truncated: false });
    }
    expect(loggedBytes(await storedLog(ground, ran), "stdout").length).toBe(writtenBytes);
    best = Math.min(best, (ran.result.metrics.run_ms ?? Number.NaN) / (idle.result.metrics.run_ms ?? Number.NaN));
  }
  expect(best, "the task's time over its time with a sink that works").toBeLessThanOrEqual(1.5);
}

/** With the real sink: what it drops it counts, while the task runs and after. */
async function withPlace(
  ground: Ground,
  place: Place,
  end: (sinks: readonly CountedSink[]) => Promise<void>,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "sink-"));
  const sinks: CountedSink[] = [];
  try {
    await expectUnhurt(ground, () => {
      const sink = sinkAt(root, place);
      sinks.push(sink);
      return sink;
    });
    await end(sinks);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** A place where nothing can be written. */
const broken = (name: string, place: Place): HostileCase =>
  hostile("D15", name, (ground) =>
    withPlace(ground, place, async (sinks) => {
      for (const sink of sinks) {
        await sink[Symbol.asyncDispose]();
        expect(sink.given()).toBeGreaterThan(0);
        expect(sink.dropped(), "every entry").toBe(sink.given());
      }
    }),
  );

/** A pipe in the file's place, that is read while the task runs as `line` says, and emptied afterwards. */
const stuck = (name: string, line: string): HostileCase =>
  hostile("D15", name, async (ground) => {
    const paths: string[] = [];
    using readers = new DisposableStack();
    const place = (path: string): void => {
      execFileSync("mkfifo", [path]);
      paths.push(path);
      readers.use(reader(path, line));
    };
    await withPlace(ground, place, async (sinks) => {
      for (const sink of sinks) expect(sink.dropped(), "dropped, and counted, while it is stuck").toBeGreaterThan(0);
      for (const path of paths) readers.use(reader(path, 'exec cat <>"$1"'));
      for (const sink of sinks) {
        await sink[Symbol.asyncDispose]();
        expect(sink.dropped(), "what had waited went out").toBeLessThan(sink.given());
      }
    });
  });

export const logSinkRows: readonly HostileCase[] = [
  stuck("a log that nobody takes", ":"),
  stuck("a log that takes one kilobyte a second", 'exec <>"$1"; while head -c 1024; do sleep 1; done'),
  broken("a log on a full disk", (path) => symlinkSync("/dev/full", path)),
  broken("a log whose place is a folder", (path) => mkdirSync(path)),
  broken("a log that is full", (path) => writeFileSync(path, Buffer.alloc(16 * 1024 * 1024))),
  hostile("D15", "a log sink that throws at every call", async (ground) => {
    let calls = 0;
    await expectUnhurt(ground, () => ({
      write() {
        calls += 1;
        throw new Error("the sink has a bug");
      },
      dropped: () => calls,
      async [Symbol.asyncDispose]() {},
    }));
    expect(calls).toBeGreaterThan(0);
  }),
  hostile(
    "D15",
    "a log sink that throws now and then loses only what it threw at",
    async (ground) => {
      let calls = 0;
      const taken: number[] = [];
      const { result } = await ranWith(ground, {
        write(_attempt, entries) {
          calls += 1;
          if (calls % 2 === 0) throw new TypeError("every other time");
          taken.push(...entries.map((entry) => (entry.kind === "output" ? entry.bytes.length : 0)));
        },
        dropped: () => 0,
        async [Symbol.asyncDispose]() {},
      });
      expectReason(result, "ok");
      expect(taken.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(0);
      expect(taken.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(writtenBytes);
    },
    brief,
  ),
];
