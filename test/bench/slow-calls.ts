import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Result } from "../../src/model/result.ts";
import { figures } from "./figures.ts";
import type { Grid } from "./part.ts";

/** What has been added up since the machine's or the server's start, milliseconds. */
interface Sums {
  /** The server's own thread on a processor. A lent processor that is away for a while counts as if it had been there. */
  readonly thread: number;
  /** The same thread ready to go on, while another had the processor. */
  readonly waiting: number;
  /** Its other threads: the compiler's, the collector's. */
  readonly others: number;
  /** All tasks of the machine; not a number where the kernel does not count that exactly (control groups v2). */
  readonly all: number;
  /** Requests to the disk, writes, discards and flushes, from their begin to their end; those at once count each. */
  readonly disk: number;
}

/** One call, and what the machine did from right before it until right after it. */
export interface WatchedCall {
  readonly name: string;
  /** Since the watch began. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly metrics: Pick<Result["metrics"], "queue_ms" | "start_ms" | "run_ms">;
  readonly beside: Sums;
}

/** Keeps, for each call of a server, what the machine did beside it. Reading that takes 0.2 ms, before and after, not in the call. */
export interface CallWatch {
  readonly calls: readonly WatchedCall[];
  /** @param number of the call, of its contestant. @returns to be called right after the call. */
  begin(name: string, pid: number, number: number): (tookMs: number, result: Result) => void;
}

/**
 * @param folder on the disk that is watched: where the servers keep their data.
 * @param from the number of the first call that is kept; those before it are to warm up.
 */
export function callWatch(folder: string, from: number): CallWatch {
  const startedAt = performance.now();
  const calls: WatchedCall[] = [];
  return {
    calls,
    begin(name, pid, number) {
      if (number < from) return () => undefined;
      const atMs = performance.now() - startedAt;
      const before = sums(pid, folder);
      return (tookMs, { metrics }) => {
        calls.push({ name, atMs, tookMs, metrics, beside: difference(before, sums(pid, folder)) });
      };
    },
  };
}

function sums(pid: number, folder: string): Sums {
  const own = schedstat(pid, String(pid));
  let others = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    if (thread !== String(pid)) others += schedstat(pid, thread).ran;
  return { thread: own.ran, waiting: own.waited, others, all: allTasks(), disk: diskBusy(folder) };
}

const nsPerMs = 1e6;

/** Of one thread; nothing of one that has just ended. */
function schedstat(pid: number, thread: string): { readonly ran: number; readonly waited: number } {
  try {
    const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ").map(Number);
    return { ran: ran / nsPerMs, waited: waited / nsPerMs };
  } catch {
    return { ran: 0, waited: 0 };
  }
}

function allTasks(): number {
  try {
    return Number(readFileSync("/sys/fs/cgroup/cpuacct/cpuacct.usage", "utf8")) / nsPerMs;
  } catch {
    return Number.NaN;
  }
}

/** Columns of `/proc/diskstats`, whose first is 0; a partition has no flushes, older kernels neither these nor discards. */
const millisecondColumns = { writes: 10, discards: 17, flushes: 19 } as const;

function diskBusy(folder: string): number {
  const { dev } = statSync(folder);
  const [major, minor] = [(dev >> 8) & 0xfff, dev & 0xff];
  const line = readFileSync("/proc/diskstats", "utf8")
    .split("\n")
    .map((each) => each.trim().split(/\s+/).map(Number))
    .find(([first, second]) => first === major && second === minor);
  return Object.values(millisecondColumns).reduce((sum, column) => sum + (line?.[column] ?? 0), 0);
}

const difference = (before: Sums, after: Sums): Sums => ({
  thread: after.thread - before.thread,
  waiting: after.waiting - before.waiting,
  others: after.others - before.others,
  all: after.all - before.all,
  disk: after.disk - before.disk,
});

const columns = [
  "at, s",
  "took, ms",
  "queued",
  "started",
  "ran",
  "server's thread on a processor",
  "waiting for one",
  "server's other threads",
  "all tasks of the machine",
  "disk",
] as const;

const cells = ({ atMs, tookMs, metrics, beside }: WatchedCall): readonly number[] => [
  ...[atMs / 1000, tookMs],
  ...[metrics.queue_ms, metrics.start_ms, metrics.run_ms].map((each) => each ?? Number.NaN),
  ...[beside.thread, beside.waiting, beside.others, beside.all, beside.disk],
];

/** Calls that took more than `overMs` of their contestant, in their order, below what its calls have by the median. */
export function slowCallsGrid(calls: readonly WatchedCall[], overMs: (name: string) => number): Grid {
  const rows = [...new Set(calls.map(({ name }) => name))].flatMap((name) => {
    const own = calls.filter((call) => call.name === name);
    const usual = columns.map((_, at) => figures(own.map((call) => cells(call)[at] ?? Number.NaN)).median);
    const slow = own.filter(({ tookMs }) => tookMs > overMs(name));
    return [
      [`${name}: median of ${own.length}`, "", ...usual.slice(1).map(cellOf)],
      ...slow.map((call) => [name, ...cells(call).map(cellOf)]),
    ];
  });
  return {
    title:
      "calls that took long, what their result says of them, and what the machine did from right before them until right after, milliseconds",
    columns: ["", ...columns],
    rows,
  };
}

/** What all calls over `overMs` have in common: how much more of the processors everything took beside them, and what the disk did. */
export function slowCallsText(calls: readonly WatchedCall[], overMs: (name: string) => number): string {
  const slow = calls.filter(({ name, tookMs }) => tookMs > overMs(name));
  if (slow.length === 0) return `none of ${calls.length}`;
  const times = (what: "thread" | "all"): string => {
    const each = slow.map(({ name, beside }) => {
      const own = calls.filter((call) => call.name === name);
      return beside[what] / figures(own.map((call) => call.beside[what])).median;
    });
    if (each.some(Number.isNaN)) return "an unknown number of times as much";
    const { min, median, max } = figures(each);
    return `${min.toFixed(1)} to ${max.toFixed(1)} times as much (${median.toFixed(1)} by the median)`;
  };
  const disk = figures(slow.map(({ beside }) => beside.disk));
  return `${slow.length} of ${calls.length}; beside them the server's thread had ${times("thread")} of a processor as beside the median call, all tasks ${times("all")}; the disk was busy for ${disk.max} ms at the most`;
}

const cellOf = (value: number): number | string => (Number.isNaN(value) ? "–" : Number(value.toFixed(1)));
