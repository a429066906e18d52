import { ExecutorError, type FailureDetail, type Neighbour, type Reason, reasonTable } from "../../model/failure.ts";

/** What only HTTP can be asked wrongly; everything else is a reason of docs/failures.md. */
export type HttpCode =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "timeout"
  | "too_large"
  | "unsupported_media_type"
  | "range_not_satisfiable"
  | "expectation_failed"
  | "header_too_large"
  | "shutting_down"
  | "unavailable";

/** A refusal of this door alone. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly code: HttpCode;
  readonly hint: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: HttpCode,
    message: string,
    options: { readonly hint?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.name = "HttpProblem";
    this.status = httpStatus[code];
    this.code = code;
    this.hint = options.hint ?? null;
    this.headers = options.headers ?? {};
  }
}

const httpStatus: Readonly<Record<HttpCode, number>> = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  timeout: 408,
  too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  expectation_failed: 417,
  header_too_large: 431,
  shutting_down: 503,
  unavailable: 503,
};

/** RFC 9457, with the reason of docs/failures.md or a code of HTTP alone. */
export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: Reason | HttpCode;
  readonly hint: string | null;
  readonly retryable: boolean;
  readonly details: readonly FailureDetail[];
}

export const problemType = "application/problem+json";

/**
 * What is answered for anything thrown. Of what nobody foresaw, and of our own store and engine, only whoever sits on this machine
 * (`isOperator`) hears more than that it failed.
 */
export function problemOf(error: unknown, isOperator: boolean): ProblemDetails {
  if (error instanceof HttpProblem) {
    const { status, code, message, hint } = error;
    return details(status, code, message, hint, status === 503, []);
  }
  if (error instanceof ExecutorError && error.code !== "internal") {
    const { httpStatus: status, retryable } = reasonTable[error.code];
    // A reason that ends a task as a result has the status of a result; before there is a task it is a neighbour that is away.
    const isAway = status === 200;
    const message = isAway && !isOperator ? "the server cannot take tasks at the moment" : error.message;
    return details(isAway ? 503 : status, error.code, message, error.hint, retryable, error.details);
  }
  if (error instanceof ExecutorError && error.away !== null) {
    const message = isOperator ? error.message : awayWords[error.away];
    const hint = isOperator ? error.hint : "ask again in a moment; what was taken in is kept";
    return details(httpStatus.unavailable, "unavailable", message, hint, true, error.details);
  }
  const framework = frameworkStatus(error);
  if (framework !== null) {
    const code = codeByStatus.get(framework) ?? "bad_request";
    return details(httpStatus[code], code, messageOf(error), null, false, []);
  }
  const message = isOperator ? messageOf(error) : "the server failed at this request";
  const hint = isOperator && error instanceof ExecutorError ? error.hint : "the server's log has more";
  return details(500, "internal", message, hint, true, []);
}

const awayWords: Readonly<Record<Neighbour, string>> = {
  store: "the task store cannot be used at the moment",
  buffer: "neither the task store nor the buffer in front of it can be used at the moment",
  objects: "the object store cannot be used at the moment",
  secrets: "the secret store cannot be used at the moment",
};

function details(
  status: number,
  code: Reason | HttpCode,
  detail: string,
  hint: string | null,
  retryable: boolean,
  list: readonly FailureDetail[],
): ProblemDetails {
  return {
    type: `urn:tool-executor:problem:${code}`,
    title: code.replaceAll("_", " "),
    status,
    detail,
    code,
    hint,
    retryable,
    details: list,
  };
}

const codeByStatus: ReadonlyMap<number, HttpCode> = new Map(
  Object.entries(httpStatus).map(([code, status]) => [status, code as HttpCode]),
);

/** The framework's own refusals of a request (too long, of another type, an URL that cannot be decoded). */
function frameworkStatus(error: unknown): number | null {
  if (!(error instanceof Error) || !("statusCode" in error) || !("code" in error)) return null;
  const { statusCode, code } = error;
  const isTheirs = typeof statusCode === "number" && statusCode >= 400 && statusCode < 500;
  // A body that broke off in the middle comes as a reset connection.
  return isTheirs && (String(code).startsWith("FST_") || code === "ECONNRESET") ? statusCode : null;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
