/** Why a task ended as it did: one closed list for the wire, the CLI's exit code and the metric label. */
export type Reason =
  | "ok"
  | "nonzero_exit"
  | "timeout"
  | "oom"
  | "pids_limit"
  | "disk_full"
  | "output_limit"
  | "result_invalid"
  | "cancelled"
  | "expired"
  | "validation"
  | "unknown_tool"
  | "policy_denied"
  | "conflict"
  | "quota"
  | "image"
  | "sandbox"
  | "worker_lost"
  | "internal";

export type Status = "success" | "failed";

/** What every surface does with one reason. `"task"` as an exit code means: the task's own. */
export interface ReasonRule {
  /** `null`: the request never becomes a result of its own (the first task's answer stands). */
  readonly status: Status | null;
  readonly retryable: boolean;
  /** The status code of a waited-for HTTP call. */
  readonly httpStatus: number;
  readonly cliExit: number | "task";
  readonly deadLetter: boolean;
}

const rule = (
  status: Status | null,
  retryable: boolean,
  httpStatus: number,
  cliExit: number | "task",
  deadLetter = false,
): ReasonRule => ({ status, retryable, httpStatus, cliExit, deadLetter });

/** The whole table of docs/failures.md. A reason without a row does not compile. */
export const reasonTable: Readonly<Record<Reason, ReasonRule>> = {
  ok: rule("success", false, 200, 0),
  nonzero_exit: rule("failed", false, 200, "task"),
  timeout: rule("failed", false, 200, 124),
  oom: rule("failed", false, 200, 137),
  pids_limit: rule("failed", false, 200, "task"),
  disk_full: rule("failed", false, 200, "task"),
  output_limit: rule("failed", false, 200, "task"),
  result_invalid: rule("failed", false, 200, 125),
  cancelled: rule("failed", false, 200, 130),
  expired: rule("failed", false, 200, 125),
  validation: rule("failed", false, 422, 2),
  unknown_tool: rule("failed", false, 422, 2),
  policy_denied: rule("failed", false, 403, 2),
  conflict: rule(null, false, 409, 2, true),
  quota: rule("failed", true, 429, 125),
  image: rule("failed", true, 200, 125, true),
  sandbox: rule("failed", true, 200, 125, true),
  worker_lost: rule("failed", true, 200, 125),
  internal: rule("failed", true, 500, 125, true),
};

/** One thing wrong with a request: where (a JSON path), what, and what was allowed. */
export interface FailureDetail {
  readonly path: string;
  readonly message: string;
}

/** What we stand on: the tasks' store, the buffer in front of it, the files' store, the secrets' store. */
export type Neighbour = "store" | "buffer" | "objects" | "secrets";

const brand = Symbol.for("tool-executor.error");

/**
 * Our failure, or a refusal of the request: the only error thrown on purpose. The tool's own failure is a `Result`.
 * `message` says what failed, on which thing, with the value, and what was allowed; it never holds a secret.
 */
export class ExecutorError extends Error {
  readonly code: Reason;
  readonly hint: string | null;
  readonly details: readonly FailureDetail[];
  /** What it needs and cannot use now; nothing is wrong with what was asked, which may be asked again later. */
  readonly away: Neighbour | null;
  readonly isAway: boolean;
  /** The neighbour answers, and does not let us: settings or rights are wrong, and waiting alone mends nothing. */
  readonly isBarred: boolean;

  constructor(
    code: Reason,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly hint?: string;
      readonly details?: readonly FailureDetail[];
      readonly away?: Neighbour;
      readonly isBarred?: boolean;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ExecutorError";
    this.code = code;
    this.hint = options.hint ?? null;
    this.details = options.details ?? [];
    this.away = options.away ?? null;
    this.isAway = this.away !== null;
    this.isBarred = options.isBarred ?? false;
  }

  get [brand](): true {
    return true;
  }

  /** Whichever copy of this module made it: a module that brings tools loads its own, beside that of the program put together. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a class that extends this one has instances of its own.
    if (this !== ExecutorError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && brand in value;
  }
}

/** The failure's place in the table for anything thrown: what we did not foresee is our bug. */
export function reasonOf(error: unknown): Reason {
  return error instanceof ExecutorError ? error.code : "internal";
}

/** Whether waiting may mend it. */
export const isAway = (error: unknown): boolean => error instanceof ExecutorError && error.isAway;

/** Whether it takes somebody to mend it. */
export const isBarred = (error: unknown): boolean => error instanceof ExecutorError && error.isBarred;

/** The process exit code of the CLI. The task's own exit code counts where the table says so; a signal is 128 + its number. */
export function cliExitCode(reason: Reason, taskExit: number | null): number {
  const { cliExit } = reasonTable[reason];
  if (cliExit !== "task") return cliExit;
  // A task that ended by our own kill may have no code of its own; 1 is what a shell user expects of "failed".
  return taskExit === null || taskExit === 0 ? 1 : taskExit;
}
