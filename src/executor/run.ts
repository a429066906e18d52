import type { Attempt } from "../model/attempt.ts";
import type { Exit } from "../model/exit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Journal } from "../ports/journal.ts";
import type { LogEntry, LogSink } from "../ports/log-sink.ts";
import type { Sandbox, SandboxCommand, SandboxEvent, SandboxGone, StartFailure } from "../ports/sandbox.ts";
import { readProgress } from "../schema/progress.ts";
import { feedStdin } from "./feed-stdin.ts";
import type { HeadTail } from "./head-tail.ts";
import type { Watcher } from "./parts.ts";

/** How the running part of an attempt ended. */
export interface RunEnd {
  readonly exit: Exit | null;
  readonly failure: StartFailure | null;
  readonly gone: SandboxGone | null;
  /** The sandbox did not end its task by itself and was killed by us. */
  readonly overdue: boolean;
  /** Unix milliseconds at which the sandbox said that the task runs. */
  readonly startedAt: number | null;
}

/** Where what the task writes goes. */
export interface RunOutputs {
  readonly attempt: Attempt;
  readonly toolName: string;
  readonly journal: Journal;
  readonly logSink: LogSink;
  readonly stdout: HeadTail;
  readonly stderr: HeadTail;
  readonly watcher: Watcher;
  readonly clock: Clock;
}

/** Beyond deadline and grace: what sandbox-init needs to end everything and to say so. */
const slackMs = 2_000;

/**
 * Starts the command and takes what the task writes until it ends: journal first, then the acknowledgement, then everybody else.
 * When `cancel` aborts, the task is asked to end and its end is waited for; so a cancelled run still has an exit.
 */
export async function run(
  sandbox: Sandbox,
  command: SandboxCommand,
  stdin: AsyncIterable<Uint8Array> | null,
  outputs: RunOutputs,
  cancel: AbortSignal,
): Promise<RunEnd> {
  using guard = endGuard(sandbox, command, cancel);
  await sandbox.start(command, cancel);
  await using _feeding = feedStdin(sandbox, stdin);
  let startedAt: number | null = null;
  for await (const batch of sandbox.events()) {
    const entries = batch.flatMap((event) => logEntry(event, outputs.clock));
    outputs.journal.append(entries);
    const last = batch.findLast((event) => event.kind !== "gone");
    if (last) sandbox.ack(last.seq);
    outputs.logSink.write(outputs.attempt, entries, outputs.toolName);
    let exit: Exit | null = null;
    let failure: StartFailure | null = null;
    let gone: SandboxGone | null = null;
    for (const event of batch) {
      if (event.kind === "started") {
        startedAt = outputs.clock.now();
        await outputs.watcher({ kind: "state", state: "RUNNING" });
      } else if (event.kind === "stdout" || event.kind === "stderr") {
        outputs[event.kind].add(event.bytes);
        await outputs.watcher({ kind: "output", stream: event.kind, bytes: event.bytes });
      } else if (event.kind === "progress") {
        const progress = readProgress(event.value);
        if (progress) await outputs.watcher({ kind: "progress", progress });
      } else if (event.kind === "exit") exit = event.exit;
      else if (event.kind === "failed") failure = event.failure;
      else if (event.kind === "gone") gone = event.gone;
    }
    if (exit || failure || gone) return { exit, failure, gone, overdue: guard.overdue(), startedAt };
  }
  const diagnosis = "the sandbox said nothing further";
  return {
    exit: null,
    failure: null,
    gone: { oomKilled: false, exitCode: null, diagnosis },
    overdue: false,
    startedAt,
  };
}

function logEntry(event: SandboxEvent, clock: Clock): readonly LogEntry[] {
  if (event.kind !== "stdout" && event.kind !== "stderr") return [];
  return [{ kind: "output", seq: event.seq, atMs: clock.now(), stream: event.kind, bytes: event.bytes }];
}

/** Ends the task when it is cancelled, and the sandbox itself when it does not end its task in time. */
function endGuard(sandbox: Sandbox, command: SandboxCommand, cancel: AbortSignal): Disposable & { overdue(): boolean } {
  let overdue = false;
  const kill = (): void => {
    // A kill that fails leaves the sandbox to its disposal, which removes it by force.
    sandbox.kill(new AbortController().signal).catch(() => undefined);
  };
  const timer = setTimeout(
    () => {
      overdue = true;
      kill();
    },
    command.deadlineMs + command.graceMs + slackMs,
  );
  let cancelTimer: NodeJS.Timeout | null = null;
  const onCancel = (): void => {
    sandbox.terminate(command.graceMs);
    cancelTimer = setTimeout(kill, command.graceMs + slackMs);
  };
  if (cancel.aborted) onCancel();
  else cancel.addEventListener("abort", onCancel, { once: true });
  return {
    overdue: () => overdue,
    [Symbol.dispose]() {
      clearTimeout(timer);
      if (cancelTimer) clearTimeout(cancelTimer);
      cancel.removeEventListener("abort", onCancel);
    },
  };
}
