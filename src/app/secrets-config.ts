import { ExecutorError } from "../model/failure.ts";
import { quoted } from "../model/quoted.ts";
import { isSecretVariable, secretPrefix } from "../secrets/environment-secrets.ts";

export const secretsDirName = "TOOL_EXECUTOR_SECRETS_DIR";

/**
 * The variables that hold secrets, and no others.
 * @throws ExecutorError validation, for a name that no secret can have: nobody would ever find it.
 */
export function secretVariablesOf(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(secretPrefix) || text === undefined || text === "") continue;
    if (!isSecretVariable(name))
      throw new ExecutorError("validation", `${quoted(name)} in the environment is the name of no secret`, {
        hint: `allowed: ${secretPrefix}TENANT__NAME, with _5F for _ and _2D for - in the tenant`,
      });
    found[name] = text;
  }
  return found;
}
