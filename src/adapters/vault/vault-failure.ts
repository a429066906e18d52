import { ExecutorError } from "../../model/failure.ts";

/** What goes wrong with the store itself, whichever secret is asked for. Nothing that the store said is ever quoted: it may hold anything. */
export interface VaultFailures {
  /** Waiting may mend it. */
  away(why: string, hint: string): ExecutorError;
  /** It answers, and somebody of ours has to mend what it was told. */
  barred(why: string, hint: string): ExecutorError;
  /** What came instead of an answer. */
  unanswered(cause: unknown): ExecutorError;
  /** For a status that no question of ours should have; null for any other. */
  unexpected(status: number): ExecutorError | null;
}

export function vaultFailures(url: string): VaultFailures {
  const failure = (why: string, hint: string, isBarred: boolean): ExecutorError =>
    new ExecutorError("internal", `the secret store ${url}: ${why}`, { hint, away: "secrets", isBarred });
  const away = (why: string, hint: string): ExecutorError => failure(why, hint, false);
  const barred = (why: string, hint: string): ExecutorError => failure(why, hint, true);
  return {
    away,
    barred,
    unanswered(cause) {
      // SAFETY: the cause is not kept: a parser's has the bytes that it read.
      if (cause instanceof ExecutorError) return cause;
      const code = codeOf(cause);
      if (isOfCertificate(code)) return barred(`its certificate is not trusted (${code})`, hints.certificate);
      return away(`it cannot be reached (${code})`, hints.reachable);
    },
    unexpected(status) {
      if (status >= 300 && status <= 399)
        return barred(`it sends elsewhere (${status}), where nobody follows it`, hints.redirect);
      if (status === 503) return away("it is sealed, or not to be used now (503)", hints.sealed);
      if (status === 429 || status >= 500) return away(`it is overloaded or failing (${status})`, hints.log);
      return null;
    },
  };
}

export const hints = {
  reachable: "is it running there, and is the way to it open? VAULT_ADDR names another",
  certificate: "VAULT_CACERT names a file of certificates to trust",
  redirect: "VAULT_ADDR must name the server that answers itself, by the scheme that it speaks",
  sealed: "unseal it, or look at its log",
  log: "its log says more",
  token: "look at VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_NAMESPACE, and at whether the token has ended",
  approle: "look at VAULT_ROLE_ID, VAULT_SECRET_ID, VAULT_SECRET_ID_FILE and VAULT_NAMESPACE",
  login: "set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_ROLE_ID, or unset VAULT_ADDR",
  mount: "look at VAULT_KV_MOUNT: it must be a KV engine of version 2",
  server: "is it a Vault or OpenBao that answers there?",
} as const;

/** The system's code, TLS's, or the parser's. */
const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "no code";

const isOfCertificate = (code: string): boolean =>
  code.includes("CERT") || code.includes("SIGNATURE") || code === "ERR_TLS_CERT_ALTNAME_INVALID";
