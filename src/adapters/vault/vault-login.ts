import { readFile } from "node:fs/promises";
import type { SecretId, VaultAddress } from "./vault-address.ts";
import { member, type VaultCall } from "./vault-call.ts";
import { hints, vaultFailures } from "./vault-failure.ts";

/** Who the executor is to the store. */
export interface Login {
  /** @throws ExecutorError internal and `isAway`; `isBarred` where the store does not know us. */
  token(signal: AbortSignal): Promise<Held>;
  /** It was not accepted: what is asked for next is got anew. */
  forget(held: Held): void;
}

export interface Held {
  readonly token: string;
  /** It was kept from an earlier question, and may have ended since. */
  readonly isKept: boolean;
}

export function vaultLogin({ url, login }: Pick<VaultAddress, "url" | "login">, call: VaultCall): Login {
  const failures = vaultFailures(url);
  let kept: { readonly token: string; readonly untilMs: number } | null = null;

  const loggedIn = async (roleId: string, secretId: SecretId, signal: AbortSignal): Promise<Held> => {
    if (kept !== null && performance.now() < kept.untilMs) return { token: kept.token, isKept: true };
    const shown = await secretIdText(secretId);
    const body = { role_id: roleId, ...(shown !== null && { secret_id: shown }) };
    const { status, value } = await call({ path: "auth/approle/login", token: null, body }, signal);
    const auth = member(value, "auth");
    const [token, leaseSeconds] = [member(auth, "client_token"), member(auth, "lease_duration")];
    if (status !== 200 || typeof token !== "string" || !isToken(token))
      throw failures.barred(`it does not accept the AppRole (${status})`, hints.approle);
    const leaseMs = typeof leaseSeconds === "number" ? leaseSeconds * 1000 : 0;
    kept = { token, untilMs: performance.now() + leaseMs * keptShare };
    return { token, isKept: false };
  };

  const secretIdText = async (secretId: SecretId): Promise<string | null> => {
    if (secretId.kind === "none") return null;
    return secretId.kind === "text" ? secretId.text : await lineOf("VAULT_SECRET_ID_FILE", secretId.path);
  };

  const lineOf = async (setting: string, path: string): Promise<string> => {
    const text = await readFile(path, "utf8").then(
      (whole) => whole.trim(),
      () => null,
    );
    if (text === null) throw failures.barred(`${setting}: ${path} cannot be read`, hints.login);
    if (!isToken(text)) throw failures.barred(`${setting}: ${path} must hold one word and nothing else`, hints.login);
    return text;
  };

  return {
    async token(signal) {
      if (login === null) throw failures.barred("there is nothing to show it who we are", hints.login);
      switch (login.kind) {
        case "token":
          return { token: login.token, isKept: false };
        case "token_file":
          return { token: await lineOf("VAULT_TOKEN_FILE", login.path), isKept: false };
        case "approle":
          return await loggedIn(login.roleId, login.secretId, signal);
      }
    },
    forget({ token }) {
      if (kept?.token === token) kept = null;
    },
  };
}

/** The rest of a token's time is for questions that are under way. */
const keptShare = 0.8;

/** What may stand in a header. */
const isToken = (text: string): boolean => /^[\x21-\x7e]{1,8192}$/.test(text);
