import { ExecutorError } from "../../model/failure.ts";

/**
 * What Redis, or the way to it, says, as our failure. The client's own error is not kept as the cause: it holds the command, and so
 * passwords and requests.
 * @param address without user and password.
 */
export function redisFailure(address: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof ExecutorError) return cause;
  const [why, hint] = reasonFor(cause);
  return new ExecutorError("internal", `buffer redis ${address}: ${why}`, { hint, away: "buffer" });
}

function reasonFor(cause: Error): readonly [why: string, hint: string] {
  if (cause.name === "ReplyError") {
    // The rest of the message may repeat what was sent.
    const word = /^[A-Z]{2,20}\b/.exec(cause.message)?.[0] ?? "ERR";
    return byWord[word] ?? [`the server failed (${word})`, hints.log];
  }
  const code = codeOf(cause);
  if (/CERT|SSL|TLS|SELF_SIGNED/.test(code)) return [`TLS: ${code}`, hints.tls];
  if (cause.message === "Command timed out") return ["no answer in time", hints.reachable];
  return [`it cannot be reached${code === "" ? "" : ` (${code})`}`, hints.reachable];
}

const hints = {
  reachable: "is Redis running there, and is the way to it open? REDIS_URL names another",
  rights: "look at user and password in REDIS_URL, and at the server's ACL",
  room: "raise maxmemory of the server; what it holds of ours goes once the database is back",
  log: "the server's log says more",
  tls: "rediss:// verifies the server's certificate; NODE_EXTRA_CA_CERTS adds some to trust",
} as const;

const byWord: Readonly<Record<string, readonly [string, string]>> = {
  OOM: ["it is full (maxmemory)", hints.room],
  MISCONF: ["it cannot write to its disk", hints.log],
  NOAUTH: ["it wants a password", hints.rights],
  WRONGPASS: ["it refuses this user", hints.rights],
  NOPERM: ["this user may not use what the buffer needs", hints.rights],
  READONLY: ["it takes no writes: it is a replica", hints.reachable],
  LOADING: ["it is starting", hints.reachable],
};

function codeOf(cause: Error): string {
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return codeOf(cause.errors[0]);
  return "";
}
