import type { Exit } from "../model/exit.ts";
import { cliExitCode, type ExecutorError, type Reason, reasonTable } from "../model/failure.ts";
import type {
  Artifact,
  Result,
  ResultEgress,
  ResultError,
  ResultMetrics,
  ResultOutput,
  ResultSandbox,
} from "../model/result.ts";
import type { JsonObject, JsonValue, Task } from "../model/task.ts";
import { traceOf } from "../model/trace-context.ts";
import type { SandboxGone } from "../ports/sandbox.ts";
import type { FoundSecret } from "./artifact-guard.ts";

/** How the sandbox's part of an attempt ended, all causes side by side; {@link conclude} weighs them. */
export interface Outcome {
  /** Null when the sandbox ended without saying how its task did. */
  readonly exit: Exit | null;
  /** What the engine knows of a sandbox that ended without saying how its task did; null for any other. */
  readonly gone: SandboxGone | null;
  /** Our own timer had to end the sandbox. */
  readonly overdue: boolean;
  readonly cancelled: boolean;
  /** A cap of the collection was met. */
  readonly outputLimit: boolean;
  /** The artifact for whose secret none was kept, or null. */
  readonly refusedArtifact: FoundSecret | null;
  /** What is wrong with `/output/result.json`, or null. */
  readonly resultProblem: string | null;
  /** A full disk kept the input from being unpacked. */
  readonly inputDiskFull: boolean;
}

/** The line's figures for the result; each null where it cannot be known. */
export interface Timings {
  readonly queueMs: number | null;
  readonly startMs: number | null;
  readonly durationMs: number | null;
}

/** What stands in the result beside the reason. */
export interface Answer {
  readonly attempt: number;
  readonly output: ResultOutput;
  readonly sandbox: ResultSandbox | null;
  readonly timings: Timings;
  /** Absent: nothing could go out. */
  readonly egress?: AnswerEgress;
}

/** What went out of the sandbox, or was refused. */
export interface AnswerEgress {
  readonly records: readonly ResultEgress[];
  readonly bytes: number;
  readonly connections: number;
}

const noEgress: AnswerEgress = { records: [], bytes: 0, connections: 0 };

/** Why the task ended: the first cause that holds, in the order of docs/failures.md. */
export function reasonFor(outcome: Outcome): Reason {
  const { exit } = outcome;
  const failed = exit === null || exit.code !== 0;
  if (outcome.cancelled && exit?.cause !== "exited") return "cancelled";
  if (outcome.overdue || exit?.cause === "deadline") return "timeout";
  if (outcome.gone?.oomKilled || exit?.cause === "memory" || (failed && (exit?.oomKills ?? 0) > 0)) return "oom";
  if (failed && exit?.pidsCapped) return "pids_limit";
  if (outcome.inputDiskFull || (failed && (exit?.diskFull.length ?? 0) > 0)) return "disk_full";
  if (outcome.outputLimit) return "output_limit";
  if (outcome.refusedArtifact !== null) return "policy_denied";
  if (failed) return "nonzero_exit";
  return outcome.resultProblem === null ? "ok" : "result_invalid";
}

/** The answer to a task whose sandbox ran. Pure: the same facts give the same result. */
export function conclude(task: Task, outcome: Outcome, value: JsonValue, answer: Answer): Result {
  const reason = reasonFor(outcome);
  const { exit } = outcome;
  const { egress = noEgress } = answer;
  return {
    ...frame(task, reason, answer),
    exit_code: exit?.code ?? null,
    signal: exit?.signal ?? null,
    error: reason === "ok" ? null : explained(reason, task, outcome, egress),
    output: { ...answer.output, value: reason === "ok" ? value : null },
    metrics: metrics(exit, answer.timings, egress),
  };
}

/** The answer to a task that never ran or whose executor failed: refusal, expiry, a sandbox that could not be made. */
export function concludeFailure(
  task: Task,
  error: ExecutorError,
  answer: Pick<Answer, "attempt" | "timings"> & Partial<Pick<Answer, "output" | "sandbox">>,
): Result {
  const output = answer.output ?? emptyOutput;
  return {
    ...frame(task, error.code, { sandbox: null, ...answer }),
    exit_code: null,
    signal: null,
    error: errorOf(error),
    output,
    metrics: metrics(null, answer.timings, noEgress),
  };
}

/** What the CLI exits with for a stored result. */
export function exitCodeOf(result: Result): number {
  return cliExitCode(result.reason, result.exit_code ?? signalExit(result.signal));
}

export const emptyOutput: ResultOutput = {
  value: null,
  stdout: "",
  stderr: "",
  stdout_encoding: "utf-8",
  stderr_encoding: "utf-8",
  stdout_bytes: 0,
  stderr_bytes: 0,
  truncated: false,
  results: [],
  artifacts: [],
  artifacts_object: null,
  logs_object: null,
};

/** Where an artifact can be had from, over HTTP and in the CLI's words alike. */
export const artifactUrl = (taskId: string, path: string): string =>
  `/v1/tasks/${taskId}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;

const maxShown = 32;

/** Plots and tables, which a reader would want to see at once: first what the tool says, of the files that are there, then other images. */
export function shownArtifacts(
  artifacts: readonly Artifact[],
  noted: ResultOutput["results"],
): ResultOutput["results"] {
  const there = new Set(artifacts.map(({ path }) => path));
  const shown = new Map(noted.filter(({ artifact }) => there.has(artifact)).map((each) => [each.artifact, each]));
  for (const { mime, path } of artifacts)
    if (mime.startsWith("image/") && !shown.has(path)) shown.set(path, { mime, artifact: path });
  return [...shown.values()].slice(0, maxShown);
}

function frame(task: Task, reason: Reason, answer: Pick<Answer, "attempt" | "sandbox" | "egress">) {
  return {
    schema_version: 1 as const,
    task_id: task.task_id,
    tenant_id: task.tenant_id,
    tool_name: task.tool_name,
    status: reasonTable[reason].status ?? ("failed" as const),
    reason,
    egress: (answer.egress ?? noEgress).records,
    sandbox: answer.sandbox,
    attempt: answer.attempt,
    trace_id: traceOf(task.metadata)?.traceId ?? null,
    metadata: { ...task.metadata, tenant_id: task.tenant_id },
  };
}

function metrics(exit: Exit | null, timings: Timings, egress: AnswerEgress): ResultMetrics {
  return {
    queue_ms: timings.queueMs,
    start_ms: timings.startMs,
    run_ms: exit ? Math.round(exit.runUs / 1000) : null,
    duration_ms: timings.durationMs,
    cpu_ms: exit?.cpuUs === null || exit === null ? null : Math.round(exit.cpuUs / 1000),
    memory_peak_bytes: exit?.memoryPeakBytes ?? null,
    pids_peak: exit?.pidsPeak ?? null,
    egress_bytes: egress.bytes,
    egress_connections: egress.connections,
    source: exit?.source ?? null,
    redactions: 0,
  };
}

function explained(reason: Reason, task: Task, outcome: Outcome, { records }: AnswerEgress): ResultError {
  return {
    code: reason,
    message: messageFor(reason, task, outcome),
    hint: hints[reason] ?? (reason === "nonzero_exit" ? deniedHint(records) : null),
    retryable: reasonTable[reason].retryable,
    details: [],
  };
}

/** A task that failed and was refused a host probably failed for that. */
function deniedHint(records: readonly ResultEgress[]): string | null {
  const denied = records.find(({ verdict, hint }) => verdict === "denied" && hint !== null);
  return denied === undefined ? null : `${denied.why}: ${denied.hint}`;
}

function messageFor(reason: Reason, task: Task, outcome: Outcome): string {
  const { limits } = task;
  const { exit } = outcome;
  switch (reason) {
    case "timeout":
      return `the task was still running after timeout_seconds ${limits.timeout_seconds} and was ended`;
    case "oom":
      return `the task needed more than memory_mb ${limits.memory_mb} and was killed`;
    case "pids_limit":
      return `the task met its limit of pids ${limits.pids} processes and threads, and failed`;
    case "disk_full": {
      const where = exit?.diskFull.join(", ") || "/workspace";
      return `${where} was full (disk_mb ${limits.disk_mb}, output_mb ${limits.output_mb}, inodes ${limits.inodes}) and the task failed`;
    }
    case "output_limit":
      return `/output was over a cap (output_mb ${limits.output_mb}, entries or depth): not every file was kept`;
    case "result_invalid":
      return `/output/result.json: ${outcome.resultProblem ?? "not valid"}`;
    case "cancelled":
      return "the task was cancelled";
    case "nonzero_exit":
      if (exit === null) return goneMessage(outcome.gone);
      return exit?.signal
        ? `the task was ended by ${exit.signal}`
        : `the task exited with code ${exit?.code ?? "unknown"}`;
    case "policy_denied": {
      const { path = "", secret = "" } = outcome.refusedArtifact ?? {};
      return `/output/${path} holds the secret ${secret}: no file was kept`;
    }
    case "ok":
    case "expired":
    case "validation":
    case "unknown_tool":
    case "conflict":
    case "quota":
    case "image":
    case "sandbox":
    case "worker_lost":
    case "internal":
      return `the task ended as ${reason}`;
  }
}

const goneDiagnosisChars = 400;

/** Only sandbox-init writes to the stream that the diagnosis comes from, so none of it is the task's words. */
function goneMessage(gone: SandboxGone | null): string {
  const message = "the task took its sandbox down: it ended without an exit code";
  if (gone === null) return message;
  const status = gone.exitCode === null ? "" : `the container ended with ${gone.exitCode}; `;
  return `${message} (${status}${gone.diagnosis.slice(-goneDiagnosisChars)})`;
}

const hints: Partial<Readonly<Record<Reason, string>>> = {
  timeout: "raise limits.timeout_seconds, or let the task do less",
  oom: "raise limits.memory_mb, or let the task hold less at once",
  pids_limit: "raise limits.pids, or start fewer processes at once",
  disk_full: "raise limits.disk_mb (or output_mb, inodes), or write less",
  output_limit: "raise limits.output_mb, or keep fewer files under /output",
  result_invalid: "write one JSON value that fits the tool's output schema, or no result.json",
  image: "build the images with `toolx images build`",
  sandbox: "run `toolx doctor` to see what the engine refuses",
  worker_lost: "send the task again under a new task_id",
  internal: "this is a fault of ours: please report it with the message",
};

/** 128 + the signal's number, as a shell reports it. */
function signalExit(signal: string | null): number | null {
  if (signal === null) return null;
  return 128 + (signalNumbers[signal] ?? 0);
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGSYS: 31,
};

/**
 * The envelope for a request that never became a task: what can be told of it, and why. Nothing is stored.
 * @param metadata what goes back to the caller beside the tenant.
 */
export function concludeRefusal(
  request: Readonly<Record<string, unknown>>,
  error: ExecutorError,
  metadata: JsonObject = {},
): Result {
  const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
  const tenantId = text(request.tenant_id) ?? "default";
  return {
    schema_version: 1,
    task_id: text(request.task_id),
    tenant_id: tenantId,
    tool_name: text(request.tool_name),
    status: "failed",
    reason: error.code,
    exit_code: null,
    signal: null,
    error: errorOf(error),
    output: emptyOutput,
    metrics: metrics(null, { queueMs: null, startMs: null, durationMs: null }, noEgress),
    egress: [],
    sandbox: null,
    attempt: 0,
    trace_id: traceOf(metadata)?.traceId ?? null,
    metadata: { ...metadata, tenant_id: tenantId },
  };
}

const errorOf = (error: ExecutorError): ResultError => ({
  code: error.code,
  message: error.message,
  hint: error.hint ?? hints[error.code] ?? null,
  retryable: reasonTable[error.code].retryable,
  details: error.details,
});
