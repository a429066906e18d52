import { ExecutorError } from "../../model/failure.ts";
import type { SecretProvider } from "../../ports/secret-provider.ts";

/**
 * The same provider.
 * @param onChange hears when it can no longer be asked, and when for another reason, each once; null: it can again. Must not throw.
 */
export function watchedSecrets(inner: SecretProvider, onChange: (why: ExecutorError | null) => void): SecretProvider {
  let known: ExecutorError | null = null;
  const seen = (why: ExecutorError | null): void => {
    if (known?.message === why?.message) return;
    known = why;
    onChange(why);
  };
  return {
    async find(tenantId, name, signal) {
      try {
        const value = await inner.find(tenantId, name, signal);
        seen(null);
        return value;
      } catch (error) {
        // What is refused was answered.
        if (error instanceof ExecutorError && error.isAway) seen(error);
        else if (error instanceof ExecutorError && error.code === "policy_denied") seen(null);
        throw error;
      }
    },
  };
}
