import { ExecutorError } from "../../model/failure.ts";

/**
 * What an S3 server, or the way to it, says, as our failure: what was done where, why, and what to do. An error of neither is
 * returned as it is.
 * @param what such as `write tasks/acme/t-1/1/artifacts.tar`.
 */
export function s3Failure(what: string, address: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof ExecutorError) return cause;
  const known =
    byCode[codeOf(cause)] ??
    (isServers(cause) ? { why: `the server says ${codeOf(cause)}`, hint: hints.server } : null);
  if (known === null) return cause;
  return new ExecutorError("internal", `${what} in the object store ${address}: ${known.why}`, {
    cause,
    hint: known.hint,
    ...(known.isAway && { away: "objects" }),
  });
}

/** Whether another try may find the failure gone. Every request we make may be made twice. */
export function mayPass(cause: unknown): boolean {
  return cause instanceof Error && passing.includes(codeOf(cause));
}

/** Whether the server, or the way to it, may be back after a longer while: what waits for that has nowhere else to go. */
export const mayComeBack = (cause: unknown): boolean =>
  mayPass(cause) || (cause instanceof Error && ["STALLED", "ENOTFOUND"].includes(codeOf(cause)));

/** The upload is over: given up, or completed by a request whose answer was lost. */
export const isUploadOver = (cause: unknown): boolean => cause instanceof Error && codeOf(cause) === "NoSuchUpload";

export const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && ["NoSuchKey", "NotFound"].includes(codeOf(cause));

/** The server's code of an error, the system's, or the client's own name for it. */
const codeOf = (cause: Error): string => ("code" in cause && typeof cause.code === "string" ? cause.code : cause.name);

const isServers = (cause: Error): boolean => cause.name === "S3Error" || cause.constructor.name === "S3Error";

const hints = {
  reachable: "is the S3 server running there, and is the way to it open? S3_ENDPOINT names another",
  way: "something between here and the S3 server damages what passes",
  bucket: "make the bucket, or name another in S3_BUCKET",
  keys: "look at S3_ACCESS_KEY, S3_SECRET_KEY and S3_REGION, and at what they may do in the bucket",
  room: "make room on the S3 server",
  server: "the server's log says more",
  tls: "look at S3_ENDPOINT and at the server's certificate; NODE_EXTRA_CA_CERTS names a file of certificates to trust",
} as const;

interface KnownFailure {
  readonly why: string;
  readonly hint: string;
  readonly isAway?: true;
}

const away = (why: string, hint: string): KnownFailure => ({ why, hint, isAway: true });

const unreachable = (code: string): KnownFailure => away(`it cannot be reached (${code})`, hints.reachable);
const broken = (code: string): KnownFailure => away(`the connection broke (${code})`, hints.reachable);
const refused: KnownFailure = { why: "the server refuses these keys", hint: hints.keys };
const full: KnownFailure = { why: "the server is full", hint: hints.room };
const busy = away("the server is overloaded or failing", hints.server);
const damaged: KnownFailure = { why: "what arrived is not what was sent", hint: hints.way };
const certificate: KnownFailure = { why: "the server's certificate is not trusted", hint: hints.tls };

const byCode: Readonly<Record<string, KnownFailure>> = {
  ECONNREFUSED: unreachable("ECONNREFUSED"),
  ENOTFOUND: unreachable("ENOTFOUND"),
  EAI_AGAIN: unreachable("EAI_AGAIN"),
  EHOSTUNREACH: unreachable("EHOSTUNREACH"),
  ENETUNREACH: unreachable("ENETUNREACH"),
  ECONNRESET: broken("ECONNRESET"),
  EPIPE: broken("EPIPE"),
  ETIMEDOUT: broken("ETIMEDOUT"),
  STALLED: away("nothing was heard of it for too long", hints.reachable),
  XAmzContentSHA256Mismatch: damaged,
  BadDigest: damaged,
  NoSuchBucket: { why: "there is no such bucket", hint: hints.bucket },
  AccessDenied: refused,
  InvalidAccessKeyId: refused,
  SignatureDoesNotMatch: refused,
  AuthorizationHeaderMalformed: refused,
  XMinioStorageFull: full,
  QuotaExceeded: full,
  SlowDown: busy,
  ServiceUnavailable: busy,
  InternalError: busy,
  XMinioServerNotInitialized: busy,
  NoSuchKey: { why: "it has just been removed", hint: hints.server },
  NotFound: { why: "it has just been removed", hint: hints.server },
  NoSuchUpload: { why: "the upload has been given up meanwhile", hint: hints.server },
  DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
  SELF_SIGNED_CERT_IN_CHAIN: certificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
  CERT_HAS_EXPIRED: certificate,
  ERR_TLS_CERT_ALTNAME_INVALID: certificate,
};

const passing: readonly string[] = [
  ...["ECONNREFUSED", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET", "EPIPE", "ETIMEDOUT"],
  ...["SlowDown", "ServiceUnavailable", "InternalError", "XMinioServerNotInitialized"],
  ...["XAmzContentSHA256Mismatch", "BadDigest"],
];
