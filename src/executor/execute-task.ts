import { Readable } from "node:stream";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { type Attempt, attemptPrefix } from "../model/attempt.ts";
import type { Exit } from "../model/exit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Result, ResultOutput, ResultSandbox } from "../model/result.ts";
import type { JsonValue, Task } from "../model/task.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { maxResultJsonBytes } from "../tools/define-tool.ts";
import { type Noted, retryClass, type Tool } from "../tools/tool.ts";
import { type AttemptSpans, attemptSpans } from "./attempt-spans.ts";
import { type Collected, collect, noFiles } from "./collect.ts";
import { artifactUrl, conclude, concludeFailure, shownArtifacts, type Timings } from "./conclude.ts";
import { freshGround, type Ground, type Standing } from "./ground.ts";
import { type HeadTail, headTail } from "./head-tail.ts";
import { keepLease } from "./keep-lease.ts";
import type { Parts, Watcher } from "./parts.ts";
import { collectCaps, tracedLaunch } from "./prepare.ts";
import { redactedOutput, type ToldBefore } from "./redacted-output.ts";
import { type RunEnd, run } from "./run.ts";
import { storeLogs } from "./store-logs.ts";
import { replay, restOfStdin, type TakenOver } from "./take-over.ts";
import { secretsFor, type TaskSecrets, withoutSecrets } from "./task-secrets.ts";
import { wayOut } from "./way-out.ts";
import { ours } from "./worker-lost.ts";

/** One leased attempt and what surrounds it. */
export interface Line {
  readonly attempt: Attempt;
  readonly task: Task;
  readonly receivedAt: number;
  /** Sandboxes of this task that could not be started before. */
  readonly strikes: number;
  readonly watcher: Watcher;
  /** The task's standard input as a stream; null: what the request carries. */
  readonly stdin: AsyncIterable<Uint8Array> | null;
  /** Null: nothing is made yet. Otherwise what a dead executor of this host began. */
  readonly taken: TakenOver | null;
  /** What the attempt began with, where it began with its task. Null: it was leased. */
  readonly standing: Standing | null;
}

/**
 * The line: one attempt of one task, from the lease to the stored answer. READ THIS FIRST.
 *
 * `specFor` → `create` → `putInputs` → `run` → `collect` → `storeLogs` → `conclude` → `finish`. Sandbox, journal and lease are held by
 * `await using`: on no path is anything of them left. `cancel` ends the task, not the line: a cancelled task has a result. Only a
 * `cancel` whose reason is `worker_lost` (this executor is to end) gives a task back that may run again elsewhere.
 *
 * @returns the stored result; null when the attempt was given back for another try, left to a successor, or is no longer ours.
 */
export async function executeTask(parts: Parts, line: Line, cancel: AbortSignal): Promise<Result | null> {
  const { attempt, task } = line;
  const leasedAt = line.taken?.succession.leasedAt ?? parts.clock.now();
  const commandGiven = line.taken !== null || (line.standing !== null && line.standing.started !== null);
  const begun: Begun = { commandGiven, handedOver: false, secrets: line.taken?.secrets ?? null };
  using spans = attemptSpans(parts.tracing, line, leasedAt);
  await using _taken = line.taken;
  await using _standing = line.standing;
  await using lease = keepLease(parts.store, parts.liveness, attempt, parts.policy.leaseMs, cancel);
  try {
    return await attempted(parts, line, leasedAt, begun, spans, lease.signal);
  } catch (thrown) {
    if (lease.lost() || begun.handedOver) return null;
    const error = asExecutorError(thrown, lease.signal);
    spans.failed(error.code);
    if (await givenBack(parts, line, error, begun.commandGiven, lease.signal)) return null;
    const timings = { ...timingsOf(parts, line, leasedAt), startMs: null };
    const failure = concludeFailure(task, error, { attempt: attempt.number, timings });
    return await answered(parts, line, spans, begun.secrets, failure);
  }
}

/** How far an attempt has come, for whoever ends it. */
interface Begun {
  commandGiven: boolean;
  handedOver: boolean;
  /** Null: none that anything told of the attempt could hold. */
  secrets: TaskSecrets | null;
}

/** Stores the answer, for ever; null when the attempt is no longer ours, or has its answer already. */
async function answered(
  { store, log }: Parts,
  { attempt, watcher, taken }: Line,
  spans: AttemptSpans,
  secrets: TaskSecrets | null,
  whole: Result,
): Promise<Result | null> {
  const markedBefore = taken?.redactionPoint?.markCount ?? 0;
  const result = secrets === null ? whole : withoutSecrets(whole, secrets, markedBefore);
  spans.next("store");
  const bytes = encodeResult(result);
  const stored = await store.finish(attempt, result, bytes, uninterrupted);
  spans.ended(stored ? result.reason : null);
  if (!stored) return null;
  await watcher({ kind: "result", result, bytes });
  await Promise.all([
    watcher({ kind: "state", state: "FINISHED" }),
    // Whoever waits for it goes first: a line of the log wakes its reader, too.
    turn().then(() => log.attemptFinished(attempt, result)),
  ]);
  return result;
}

async function attempted(
  parts: Parts,
  line: Line,
  leasedAt: number,
  begun: Begun,
  spans: AttemptSpans,
  cancel: AbortSignal,
): Promise<Result | null> {
  const { objects, policy, clock } = parts;
  const { attempt, task } = line;
  if (line.taken === null) {
    spans.next("start");
    refuseExpired(task, clock.now());
  }
  const tool = parts.catalog.find(task.tool_name);
  const toolCommand = tool.command(task);
  const hasStdin = line.stdin !== null;
  const secrets = line.taken === null ? await secretsFor(parts.secrets, task, cancel) : line.taken.secrets;
  begun.secrets = secrets;
  using out = wayOut(parts, line, toolCommand.calls ?? [], secrets);
  await using ground =
    line.taken ?? (await freshGround(parts, line, tool, toolCommand, { leasedAt, hasStdin, out, secrets }, cancel));
  const { sandbox, journal } = ground;
  out.serve(sandbox);

  const stdout = headTail(policy.inlineBytes);
  const stderr = headTail(policy.inlineBytes);
  if (line.taken) replay(journal, { stdout, stderr });
  const sinks = { journal, logSink: parts.logSink, stdout, stderr };
  const redacted = secrets === null ? null : redactedOutput(secrets, toldBefore(line));
  const outputs = { attempt, toolName: task.tool_name, ...sinks, watcher: line.watcher, clock, redacted };
  begun.commandGiven = true;
  const launch = tracedLaunch(ground.launch, task, spans.next("run"));
  const ended = await run(sandbox, launch, stdinOf(line), outputs, cancel);
  if (ended.handedOver) {
    journal.leave(true);
    begun.handedOver = true;
    throw cancel.reason;
  }
  out[Symbol.dispose]();
  refuseUnstarted(ended);
  refuseGivenUp(ended, cancel);
  const cancelled = cancel.aborted;
  if (line.taken && ended.exit !== null) countMissed(ended.exit, { stdout, stderr }, droppedBytes(secrets, journal));

  spans.next("collect");
  using noting = notedIfItLasts(parts, line);
  const prefix = attemptPrefix(attempt);
  const smallFiles = {
    maxBytes: new Map([
      [resultJson, maxResultJsonBytes],
      ...(tool.notes ? [[tool.notes.path, tool.notes.maxBytes] as const] : []),
    ]),
    unlisted: tool.notes?.path ?? null,
  };
  // Kept for failed, timed-out and cancelled tasks too, so `cancel` does not reach here.
  const guarding = secrets === null ? null : { redaction: secrets.redaction, policy: policy.secretsInArtifacts };
  const asking = { ...ground.asking, rest: ended.rest };
  const collected = ended.gone
    ? noFiles
    : await collect(sandbox, asking, collectCaps(task, policy), smallFiles, objects, prefix, guarding, uninterrupted);
  const logsObject = await storeLogs(journal, objects, prefix, uninterrupted);
  await noting.stillOurs();

  const noted = readNotes(tool, collected);
  const { value, problem } = readValue(tool, ended.exit, collected, noted);
  const outcome = {
    exit: ended.exit,
    gone: ended.gone,
    overdue: ended.overdue,
    cancelled,
    outputLimit: collected.end?.limit != null,
    refusedArtifact: collected.refused,
    resultProblem: problem,
    inputDiskFull: ended.failure?.code === "disk_full",
  };
  const { keptBytes, writtenBytes } = journal.totals();
  const result = conclude(task, outcome, value, {
    attempt: attempt.number,
    sandbox: sandboxOf(ground, task),
    timings: {
      ...timingsOf(parts, line, leasedAt),
      startMs: ended.startedAt === null ? null : ended.startedAt - leasedAt,
    },
    egress: { records: out.tally.records(), bytes: out.tally.totalBytes(), connections: out.tally.connections() },
    output: {
      ...outputOf(task, { stdout, stderr, collected, noted, logsObject, truncated: keptBytes < writtenBytes }),
      ...(redacted !== null && {
        stdout_bytes: ended.exit?.stdoutBytes ?? redacted.takenBytes("stdout"),
        stderr_bytes: ended.exit?.stderrBytes ?? redacted.takenBytes("stderr"),
      }),
    },
  });
  // Before the sandbox is taken down: nobody has to wait for that. One that cannot be removed is the reaper's, not the task's.
  const stored = await answered(parts, line, spans, secrets, result);
  // Only now: a successor would have found in it all that the answer was made from.
  if (collected.endSeq !== null) sandbox.ack(collected.endSeq);
  return stored;
}

/** What is collected sooner is not worth a write of its own: whoever takes over asks the sandbox, not the row. */
const collectingNotedMs = 100;

/** Has the row say COLLECTING where that lasts. */
function notedIfItLasts({ store }: Parts, { attempt, taken }: Line) {
  let isNoted: Promise<boolean> | null = null;
  const timer = setTimeout(() => {
    isNoted = store.collecting(attempt, uninterrupted);
    isNoted.catch(() => undefined);
  }, collectingNotedMs);
  return {
    /** @throws ExecutorError worker_lost, when the row was found to be another's. */
    async stillOurs(): Promise<void> {
      clearTimeout(timer);
      if (isNoted === null) return;
      // The executor that had it before may have noted it, and then this changes nothing.
      await (taken === null ? ours(isNoted) : isNoted);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** Where a task leaves its value, below `/output`. */
const resultJson = "result.json";

/** For what must be brought to its end once the task ran: each call below has a bound of its own. */
const uninterrupted: AbortSignal = new AbortController().signal;

/** What was kept of an attempt. */
interface Kept {
  readonly stdout: HeadTail;
  readonly stderr: HeadTail;
  readonly collected: Collected;
  readonly noted: Noted | null;
  readonly logsObject: string | null;
  readonly truncated: boolean;
}

function outputOf(task: Task, { stdout, stderr, collected, noted, logsObject, truncated }: Kept): ResultOutput {
  const out = stdout.text();
  const err = stderr.text();
  const artifacts = collected.entries.map(({ path, size_bytes, sha256, mime }) => ({
    path,
    size_bytes,
    sha256,
    mime,
    url: artifactUrl(task.task_id, path),
    secrets: collected.flagged.get(path) ?? [],
  }));
  return {
    value: null,
    stdout: out.text,
    stderr: err.text,
    stdout_encoding: out.encoding,
    stderr_encoding: err.encoding,
    stdout_bytes: stdout.totalBytes(),
    stderr_bytes: stderr.totalBytes(),
    truncated,
    results: shownArtifacts(artifacts, noted?.results ?? []),
    artifacts,
    artifacts_object: collected.artifactsKey,
    logs_object: logsObject,
  };
}

/** What the tool's own program saw. A task that left something else in their place has none. */
function readNotes({ notes }: Tool, { small }: Collected): Noted | null {
  const bytes = notes && small.get(notes.path);
  return bytes === undefined ? null : (notes?.read(bytes) ?? null);
}

/**
 * The tool's reading of `/output/result.json`, and without one what the tool noted; a bad one is a reason of its own, not an
 * error of the line.
 */
function readValue(
  tool: Tool,
  exit: Exit | null,
  { small, end }: Collected,
  noted: Noted | null,
): { readonly value: JsonValue; readonly problem: string | null } {
  if (exit?.code !== 0) return { value: null, problem: null };
  // A link, a pipe or an unreadable file in its place is a value the task meant to give and did not.
  const leftOut = end?.skipped.find(({ path }) => path === resultJson);
  if (leftOut) return { value: null, problem: `not collected (${leftOut.why}), must be a regular file` };
  const bytes = small.get(resultJson) ?? null;
  try {
    const value = tool.value(exit, bytes);
    return { value: bytes === null ? (noted?.value ?? value) : value, problem: null };
  } catch (error) {
    if (error instanceof ExecutorError && error.code === "result_invalid")
      return { value: null, problem: error.message };
    throw error;
  }
}

const sandboxOf = ({ image, runtime, warm }: Ground, { limits }: Task): ResultSandbox => ({
  image: image.name,
  image_id: image.id,
  runtime,
  warm,
  limits,
});

/** Output that the journal's cap had dropped before we took over: how much of which stream only the sandbox knows. */
function countMissed(
  { stdoutBytes, stderrBytes }: Exit,
  { stdout, stderr }: Readonly<Record<"stdout" | "stderr", HeadTail>>,
  mostBytes: number,
): void {
  const skipped = (all: number, stream: HeadTail): void => {
    stream.skip(Math.min(mostBytes, Math.max(0, all - stream.totalBytes())));
  };
  skipped(stdoutBytes, stdout);
  skipped(stderrBytes, stderr);
}

/** With secrets the sandbox's figures are of more bytes than were kept, so what is missing must not be counted by them alone. */
function droppedBytes(secrets: TaskSecrets | null, journal: Ground["journal"]): number {
  if (secrets === null) return Number.POSITIVE_INFINITY;
  const { writtenBytes, keptBytes } = journal.totals();
  return writtenBytes - keptBytes;
}

const toldBefore = ({ taken }: Line): ToldBefore | null =>
  taken && { point: taken.redactionPoint, lastSeq: taken.succession.lastSeq };

function stdinOf({ taken, stdin, task }: Line): AsyncIterable<Uint8Array> | null {
  if (taken === null) return stdin ?? textStream(task.stdin);
  const rest = restOfStdin(task.stdin, taken);
  return rest === null ? null : Readable.from([rest]);
}

const timingsOf = ({ clock }: Parts, { receivedAt }: Line, leasedAt: number): Omit<Timings, "startMs"> => ({
  queueMs: leasedAt - receivedAt,
  durationMs: clock.now() - receivedAt,
});

function refuseExpired(task: Task, now: number): void {
  if (task.expires_at !== null && Date.parse(task.expires_at) <= now)
    throw new ExecutorError("expired", `the task was to start before expires_at ${task.expires_at}`);
}

/** A task that never came to run: whose fault depends on what was in the way. */
function refuseUnstarted({ failure, gone, startedAt }: RunEnd): void {
  if (failure && failure.code !== "disk_full") {
    // A folder that is not there is the request's fault; everything else inside was made by us.
    const code = failure.stage === "start" ? "validation" : "internal";
    throw new ExecutorError(code, `the task could not be started: ${failure.message}`);
  }
  if (gone && startedAt === null && !gone.oomKilled)
    throw new ExecutorError("sandbox", `the sandbox ended before its task was started: ${gone.diagnosis}`);
}

/** A task that was ended because we are to end has no exit of its own; one that ended by itself meanwhile has its result. */
function refuseGivenUp({ exit }: RunEnd, cancel: AbortSignal): void {
  if (isGivenUp(cancel) && exit?.cause !== "exited") throw cancel.reason;
}

const isGivenUp = ({ aborted, reason }: AbortSignal): boolean =>
  aborted && reason instanceof ExecutorError && reason.code === "worker_lost";

/** A pause before another try of a sandbox that could not be made; doubled each time. */
const retryDelayMs = 100;
/** A pause before a task is given back whose secrets cannot be had now. */
const awayPauseMs = 2_000;

/**
 * A sandbox that could not be made is tried again; the last strike is a result. So is a task that may have done something and
 * must not do it twice, when we are to end; any other is somebody else's then. A task that was to begin while the store was away, or
 * the one that has its secrets, begins later, without a strike.
 */
async function givenBack(
  parts: Parts,
  { attempt, task, strikes, watcher }: Line,
  error: ExecutorError,
  commandGiven: boolean,
  cancel: AbortSignal,
): Promise<boolean> {
  const isOurEnd = isGivenUp(cancel);
  if (isOurEnd && commandGiven && retryClass(parts.catalog.find(task.tool_name), task) === "unsafe") return false;
  const isTooEarly = !commandGiven && (error.away === "store" || error.away === "secrets");
  if (!isOurEnd && !isTooEarly) {
    if (error.code !== "sandbox" && error.code !== "image") return false;
    if (strikes + 1 >= parts.policy.maxStrikes) return false;
    // Still leased, so that nobody is quicker.
    await sleep(retryDelayMs * 2 ** strikes, undefined, { signal: cancel }).catch(() => undefined);
  }
  if (error.away === "secrets") await sleep(awayPauseMs, undefined, { signal: cancel }).catch(() => undefined);
  if (!(await parts.store.release(attempt, !isOurEnd && !isTooEarly, uninterrupted))) return false;
  parts.log.attemptReleased(attempt, task, isOurEnd ? "worker_lost" : error.code);
  await watcher({ kind: "state", state: "QUEUED" });
  return true;
}

/** What was thrown, in our terms: after a cancel everything is the cancel, and what nobody foresaw is our bug. */
function asExecutorError(thrown: unknown, cancel: AbortSignal): ExecutorError {
  if (cancel.aborted && cancel.reason instanceof ExecutorError) return cancel.reason;
  if (thrown instanceof ExecutorError) return thrown;
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new ExecutorError("internal", message, { cause: thrown });
}

const textStream = (text: string | null): AsyncIterable<Uint8Array> | null =>
  text === null ? null : Readable.from([Buffer.from(text)]);
