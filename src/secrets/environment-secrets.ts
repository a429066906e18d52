import { isSecretName } from "../model/secret.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";

/**
 * Secrets in variables of the executor's environment, one a secret: {@link secretVariable} has the names. An empty one counts as unset.
 * @param env asked at every call.
 */
export function environmentSecrets(env: Readonly<Record<string, string | undefined>>): SecretProvider {
  return {
    async find(tenantId, name) {
      if (!isSecretName(name)) return null;
      const value = env[secretVariable(tenantId, name)];
      return value === undefined || value === "" ? null : Buffer.from(value);
    },
  };
}

/**
 * `TOOL_EXECUTOR_SECRET_TENANT__NAME`. In the tenant `_` is `_5F` and `-` is `_2D`, which a shell can write, so that the first `__` is
 * where the name begins and no two secrets share a variable. Letters keep their case.
 */
export function secretVariable(tenantId: string, name: string): string {
  const tenant = tenantId.replaceAll("_", "_5F").replaceAll("-", "_2D");
  return `${secretPrefix}${tenant}__${name}`;
}

export const secretPrefix = "TOOL_EXECUTOR_SECRET_";

/** Whether {@link secretVariable} could answer it. */
export const isSecretVariable = (variable: string): boolean =>
  variable.startsWith(secretPrefix) &&
  /^(?:[A-Za-z0-9]|(?!^)_5F|(?!^)_2D)+?__[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(variable.slice(secretPrefix.length));
