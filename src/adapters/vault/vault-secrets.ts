import { ExecutorError } from "../../model/failure.ts";
import { isSecretName } from "../../model/secret.ts";
import type { SecretProvider } from "../../ports/secret-provider.ts";
import { idSchema } from "../../schema/task-schema.ts";
import type { VaultAddress } from "./vault-address.ts";
import { defaultVaultBounds, member, type VaultAnswer, vaultCall } from "./vault-call.ts";
import { hints, vaultFailures } from "./vault-failure.ts";
import { type Held, vaultLogin } from "./vault-login.ts";

/** The field of an entry that is the secret. */
export const valueField = "value";

/**
 * Secrets as entries `PREFIX/TENANT/NAME` of a KV engine of version 2, in Vault or OpenBao, each with its value as text in the field
 * `value`. The latest version counts. Nothing is kept here but the token of an AppRole.
 * @param ca as for {@link vaultCall}.
 */
export function vaultSecrets(address: VaultAddress, ca: Buffer | null, bounds = defaultVaultBounds): SecretProvider {
  const { url, mount, prefix } = address;
  const failures = vaultFailures(url);
  const call = vaultCall(address, ca, bounds);
  const login = vaultLogin(address, call);

  const read = async (path: string, signal: AbortSignal): Promise<VaultAnswer> => {
    const held = await login.token(signal);
    const answer = await call({ path, token: held.token }, signal);
    if (answer.status !== 403) return answer;
    login.forget(held);
    // What was kept may have been taken back meanwhile.
    if (held.isKept) return await read(path, signal);
    await refuseUnknownToken(held, signal);
    return answer;
  };

  /** The store says no more than 403 of a token that it does not know and of one that may not read the entry. */
  const refuseUnknownToken = async ({ token }: Held, signal: AbortSignal): Promise<void> => {
    const { status } = await call({ path: "auth/token/lookup-self", token }, signal);
    if (status !== 200) throw failures.barred(`it does not accept the token (${status})`, hints.token);
  };

  const secretIn = (name: string, answer: unknown): Buffer => {
    const data = member(answer, "data");
    const fields = member(data, "data");
    if (fields === undefined || member(data, "metadata") === undefined)
      throw failures.barred(`${mount} is no KV engine of version 2`, hints.mount);
    const value = member(fields, valueField);
    if (value === undefined) throw refused(name, `its entry has no field "${valueField}"`);
    if (typeof value !== "string") throw refused(name, `the field "${valueField}" of its entry is no text`);
    return Buffer.from(value);
  };

  return {
    async find(tenantId, name, signal) {
      // SAFETY: both are one plain name, so no path leads out of the tenant's folder.
      if (!isSecretName(name) || !tenantPattern.test(tenantId)) return null;
      const entry = prefix === "" ? `${tenantId}/${name}` : `${prefix}/${tenantId}/${name}`;
      const { status, value } = await read(`${mount}/data/${entry}`, signal);
      switch (status) {
        case 200:
          return secretIn(name, value);
        case 403:
          throw refused(name, "the secret store does not let the executor read it");
        case 404:
          // An entry that is not there, or was deleted, is no error to it.
          if (isSomething(member(value, "errors"))) throw failures.barred(`it has no engine at ${mount}`, hints.mount);
          return null;
        default:
          throw failures.barred(`it answered with status ${status}`, hints.server);
      }
    },
  };
}

const tenantPattern = new RegExp(String(idSchema.pattern));

const isSomething = (errors: unknown): boolean => Array.isArray(errors) && errors.length > 0;

/** Messages name no path: tenants read them. */
const refused = (name: string, why: string): ExecutorError =>
  new ExecutorError("policy_denied", `secret ${name} cannot be used: ${why}`, { hint: "the operator has to mend it" });
