import type { Attempt } from "../model/attempt.ts";
import type { Exit } from "../model/exit.ts";
import type { AttemptJournal } from "../ports/attempt-journal.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogEntry, LogSink } from "../ports/log-sink.ts";
import type { Sandbox, SandboxCommand, SandboxEvent, SandboxGone, StartFailure } from "../ports/sandbox.ts";
import { readProgress } from "../schema/progress.ts";
import { feedStdin } from "./feed-stdin.ts";
import type { HeadTail } from "./head-tail.ts";
import type { Watcher } from "./parts.ts";
import type { RedactedOutput, RunEvent } from "./redacted-output.ts";
import { isHandedOver } from "./worker-lost.ts";

/** How the running part of an attempt ended. */
export interface RunEnd {
  readonly exit: Exit | null;
  readonly failure: StartFailure | null;
  readonly gone: SandboxGone | null;
  /** The sandbox did not end its task by itself and was killed by us. */
  readonly overdue: boolean;
  /** Unix milliseconds at which the sandbox said that the task runs. */
  readonly startedAt: number | null;
  /** `cancel` left the task to a successor: it goes on, and says the rest to whoever attaches next. */
  readonly handedOver: boolean;
  /** What was said behind the task's end already: of what it left, where a dead executor had asked for that. Good until more is asked for. */
  readonly rest: readonly SandboxEvent[];
}

/** How the running part begins. */
export type Launch =
  | {
      readonly kind: "start";
      readonly command: SandboxCommand;
      /** With the number of the frame that started the task. */
      readonly onStarted: (seq: number) => void;
      /** That number, where the task was started before; null: it is to be started now. */
      readonly started: Promise<number> | null;
    }
  /** The task was started by another process; `leftMs` of its deadline and grace are left. */
  | {
      readonly kind: "go_on";
      readonly leftMs: number;
      readonly graceMs: number;
      /** Unix milliseconds. */
      readonly startedAt: number | null;
    };

/** Where what the task writes goes. */
export interface RunOutputs {
  readonly attempt: Attempt;
  readonly toolName: string;
  readonly journal: AttemptJournal;
  readonly logSink: LogSink;
  readonly stdout: HeadTail;
  readonly stderr: HeadTail;
  readonly watcher: Watcher;
  readonly clock: Clock;
  /** Null: the task has no secrets. */
  readonly redacted: RedactedOutput | null;
}

/** Beyond deadline and grace: what sandbox-init needs to end everything and to say so. */
const slackMs = 2_000;

/**
 * Starts the command, or goes on with it, and takes what the task writes until it ends: journal first, then the acknowledgement, then
 * everybody else. The task's end itself is acknowledged with its artifacts only: until then a successor hears of it again.
 * When `cancel` aborts, the task is asked to end and its end is waited for; so a cancelled run still has an exit. With {@link HandedOver}
 * as its reason, the sandbox is let go of instead.
 */
export async function run(
  sandbox: Sandbox,
  launch: Launch,
  stdin: AsyncIterable<Uint8Array> | null,
  outputs: RunOutputs,
  cancel: AbortSignal,
): Promise<RunEnd> {
  using guard = endGuard(sandbox, launch, cancel);
  if (launch.kind === "start" && (launch.started !== null || !guard.handedOver()))
    launch.onStarted(await (launch.started ?? sandbox.start(launch.command, cancel)));
  await using _feeding = feedStdin(sandbox, stdin);
  let startedAt = launch.kind === "go_on" ? launch.startedAt : null;
  if (launch.kind === "go_on") await outputs.watcher({ kind: "state", state: "RUNNING" });
  for await (const heard of sandbox.events()) {
    const batch: readonly RunEvent[] = outputs.redacted?.batch(heard) ?? heard;
    const entries = batch.flatMap((event) => logEntry(event, outputs.clock));
    outputs.journal.append(entries);
    acknowledge(sandbox, outputs, heard);
    tell(outputs, entries);
    let exit: Exit | null = null;
    let failure: StartFailure | null = null;
    let gone: SandboxGone | null = null;
    for (const event of batch) {
      if (event.kind === "started") {
        startedAt = outputs.clock.now();
        await outputs.watcher({ kind: "state", state: "RUNNING" });
      } else if (event.kind === "stdout" || event.kind === "stderr") {
        if (event.bytes.length === 0) continue;
        outputs[event.kind].add(event.bytes);
        await outputs.watcher({ kind: "output", stream: event.kind, bytes: event.bytes });
      } else if (event.kind === "progress") {
        const progress = readProgress(event.value);
        if (progress) await outputs.watcher({ kind: "progress", progress });
      } else if (event.kind === "exit") exit = event.exit;
      else if (event.kind === "failed") failure = event.failure;
      else if (event.kind === "gone") gone = event.gone;
    }
    if (guard.handedOver()) continue;
    if (exit || failure || gone) {
      const rest = heard.slice(heard.findIndex(isEnd) + 1);
      return { exit, failure, gone, overdue: guard.overdue(), startedAt, handedOver: false, rest };
    }
  }
  const diagnosis = "the sandbox said nothing further";
  return {
    exit: null,
    failure: null,
    gone: { oomKilled: false, exitCode: null, diagnosis },
    overdue: false,
    startedAt,
    handedOver: guard.handedOver(),
    rest: [],
  };
}

const isEnd = (event: SandboxEvent): event is Extract<SandboxEvent, { readonly kind: "exit" | "failed" | "gone" }> =>
  event.kind === "exit" || event.kind === "failed" || event.kind === "gone";

/** What stands in the journal, or is dealt with. */
function acknowledge(
  sandbox: Sandbox,
  { journal, redacted }: Pick<RunOutputs, "journal" | "redacted">,
  batch: readonly SandboxEvent[],
): void {
  let seq = 0;
  let isOutput = true;
  for (const event of batch) {
    if (isEnd(event)) break;
    seq = event.seq;
    isOutput = event.kind === "stdout" || event.kind === "stderr";
  }
  if (seq === 0) return;
  // Not every redacted piece has a record of its own.
  if (!isOutput || redacted !== null) journal.passed(seq);
  sandbox.ack(seq);
}

type OutputEntry = Extract<LogEntry, { kind: "output" }>;

/** A sink must not throw; one that does loses its lines, which the journal has, and never the task. */
function tell({ logSink, attempt, toolName, redacted }: RunOutputs, entries: readonly OutputEntry[]): void {
  const told = redacted === null ? entries : entries.filter((entry) => entry.bytes.length > 0);
  try {
    logSink.write(attempt, told, toolName);
  } catch {
    // Its own bug: nothing of the task hangs on it.
  }
}

function logEntry(event: RunEvent, clock: Clock): readonly OutputEntry[] {
  if (event.kind !== "stdout" && event.kind !== "stderr") return [];
  const entry = { kind: "output", seq: event.seq, atMs: clock.now(), stream: event.kind, bytes: event.bytes } as const;
  return [event.redaction === undefined ? entry : { ...entry, redaction: event.redaction }];
}

/** Ends the task when it is cancelled, and the sandbox itself when it does not end its task in time. */
function endGuard(sandbox: Sandbox, launch: Launch, cancel: AbortSignal) {
  const { graceMs } = launch.kind === "start" ? launch.command : launch;
  const leftMs = launch.kind === "start" ? launch.command.deadlineMs + graceMs : launch.leftMs;
  let overdue = false;
  let handedOver = false;
  const kill = (): void => {
    // A kill that fails leaves the sandbox to its disposal, which removes it by force.
    sandbox.kill(new AbortController().signal).catch(() => undefined);
  };
  const timer = setTimeout(() => {
    overdue = true;
    kill();
  }, leftMs + slackMs);
  let cancelTimer: NodeJS.Timeout | null = null;
  const onCancel = (): void => {
    if (isHandedOver(cancel)) {
      handedOver = true;
      void sandbox.detach();
      return;
    }
    sandbox.terminate(graceMs);
    cancelTimer = setTimeout(kill, graceMs + slackMs);
  };
  if (cancel.aborted) onCancel();
  else cancel.addEventListener("abort", onCancel, { once: true });
  return {
    overdue: () => overdue,
    handedOver: () => handedOver,
    [Symbol.dispose]() {
      clearTimeout(timer);
      if (cancelTimer) clearTimeout(cancelTimer);
      cancel.removeEventListener("abort", onCancel);
    },
  };
}
