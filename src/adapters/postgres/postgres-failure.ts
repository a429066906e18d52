import { ExecutorError } from "../../model/failure.ts";

/** What may be done after a failure. `unknown`: the statement may have been carried out, and its answer lost. */
export type Aftermath = "retry" | "unknown" | "give up";

/**
 * What PostgreSQL, or the way to it, says, as our failure: which database, why, and what to do. An error of neither is
 * returned as it is: our bug.
 * @param address without user and password.
 */
export function postgresFailure(address: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof ExecutorError) return cause;
  const known = knownFailure(cause);
  if (known === null) return cause;
  return new ExecutorError("internal", `task store ${address}: ${known.why}`, {
    cause,
    hint: known.hint,
    away: "store",
    isBarred: known.isBarred ?? false,
  });
}

/** What a call ends with that got no answer in time. */
export function noAnswer(address: string, ms: number): ExecutorError {
  return new ExecutorError("internal", `task store ${address}: no answer within ${ms} ms`, {
    hint: hints.reachable,
    away: "store",
  });
}

/** Whether the statement that failed so may be sent again. */
export function aftermath(cause: unknown): Aftermath {
  if (!(cause instanceof Error)) return "give up";
  const state = sqlState(cause);
  // The server has answered, and what it answers with an error it has not carried out.
  if (state !== null) return passing.test(state) ? "retry" : "give up";
  if (isUnreachable(cause)) return "retry";
  return isBrokenOff(cause) ? "unknown" : "give up";
}

/** States that another try, on another connection or server, may find gone: a standby, a restart, a plan from before a migration. */
const passing = /^(?:0A000|25006|40001|40P01|53300|55P03|57P01|57P02|57P03|08...)$/;

interface KnownFailure {
  readonly why: string;
  readonly hint: string;
  readonly isBarred?: true;
}

/** It answers, and settings or rights have to be mended. */
const barred = (why: string, hint: string): KnownFailure => ({ why, hint, isBarred: true });

const hints = {
  reachable: "is PostgreSQL running there, and is the way to it open? DATABASE_URL names another",
  rights: "look at user, password and database in DATABASE_URL, and at the server's pg_hba.conf",
  schema: "toolx migrate brings the database to the schema of this version",
  other: "name a database of its own in DATABASE_URL",
  busy: "the server's log says more; what was asked for may be tried again",
  disk: "make room on the disk of the server",
  tls: "look at sslmode and sslrootcert in DATABASE_URL, and at the server's certificate",
} as const;

/** By SQLSTATE, or the two characters of its class. */
const byState: Readonly<Record<string, KnownFailure>> = {
  "28": barred("the server refuses this user", hints.rights),
  "3D": barred("there is no such database", hints.rights),
  "42501": barred("this user may not use its tables", hints.rights),
  "42P07": barred("another program's tables are in it", hints.other),
  "42P01": barred("its tables are not there", hints.schema),
  "42703": barred("its tables are another version's", hints.schema),
  "42883": barred("its tables are another version's", hints.schema),
  "25006": { why: "the server takes no writes: it is a standby, or set to read only", hint: hints.reachable },
  "40": { why: "other transactions kept getting in the way", hint: hints.busy },
  "53100": { why: "the server's disk is full", hint: hints.disk },
  "53300": { why: "the server has no connection left", hint: hints.busy },
  "53": { why: "the server is out of resources", hint: hints.busy },
  "55P03": { why: "others have kept what was asked for locked for too long", hint: hints.busy },
  "57014": { why: "the server took too long and gave up", hint: hints.busy },
  "57P": { why: "the server is shutting down or starting", hint: hints.reachable },
  "58": { why: "the server's disk failed", hint: hints.disk },
  XX: { why: "the server failed", hint: hints.busy },
  "08": { why: "the connection broke", hint: hints.reachable },
};

function knownFailure(cause: Error): KnownFailure | null {
  const state = sqlState(cause);
  if (state !== null) {
    const known = byState[state] ?? byState[state.slice(0, 3)] ?? byState[state.slice(0, 2)];
    return known ?? null;
  }
  if (isTls(cause)) return barred(`TLS: ${cause.message}`, hints.tls);
  if (isUnreachable(cause)) return { why: `it cannot be reached (${words(cause)})`, hint: hints.reachable };
  return isBrokenOff(cause) ? { why: `the connection broke (${words(cause)})`, hint: hints.reachable } : null;
}

/** Only the server's own errors have a severity. */
function sqlState(cause: Error): string | null {
  const { code, severity } = cause as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === "string" && typeof severity === "string" ? code : null;
}

const codeOf = (cause: Error): string => ("code" in cause && typeof cause.code === "string" ? cause.code : "");

const words = (cause: Error): string => codeOf(cause) || cause.message;

/** The client's own words, without a code: no connection in time, or none free. */
const noConnection: readonly string[] = ["timeout expired", "timeout exceeded when trying to connect"];

/** Before anything was sent. */
function isUnreachable(cause: Error): boolean {
  if (noConnection.includes(cause.message)) return true;
  if (cause instanceof AggregateError)
    return cause.errors.every((each) => each instanceof Error && isUnreachable(each));
  const codes = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ENOENT", "EACCES"];
  return codes.includes(codeOf(cause)) || (cause as { readonly syscall?: unknown }).syscall === "connect";
}

function isBrokenOff(cause: Error): boolean {
  // The client's own words for a socket that closed; it gives no code.
  return (
    ["ECONNRESET", "EPIPE", "ETIMEDOUT"].includes(codeOf(cause)) || cause.message.startsWith("Connection terminated")
  );
}

function isTls(cause: Error): boolean {
  return /CERT|SSL|TLS|SELF_SIGNED/.test(codeOf(cause)) || cause.message.includes("does not support SSL");
}
