import type { FailureDetail } from "../model/failure.ts";
import type { TaskSecret } from "../model/task.ts";

/** Variables that say where something of ours is: a secret in their place would hide it. */
const ownVariables: ReadonlySet<string> = new Set(["TOOL_PROGRESS_FD", "TOOL_SECRETS_DIR"]);

/** What is wrong with a list of secrets beside each one's own name. Names are not quoted: somebody may have put the value there. */
export function secretProblems(
  secrets: readonly TaskSecret[],
  env: Readonly<Record<string, string>>,
): readonly FailureDetail[] {
  const before = new Set<string>();
  return secrets.flatMap(({ name, as }, index) => {
    const problem = problemOf(name, as, before.has(name), env);
    before.add(name);
    return problem === null ? [] : [{ path: `/secrets/${index}/name`, message: `secrets[${index}].name ${problem}` }];
  });
}

function problemOf(
  name: string,
  as: TaskSecret["as"],
  isTwice: boolean,
  env: Readonly<Record<string, string>>,
): string | null {
  if (isTwice) return "stands there twice, must be there once";
  if (as === "file") return null;
  if (Object.hasOwn(env, name)) return "is a variable of env too, must be one of the two";
  return ownVariables.has(name) ? "is a variable that every task has, allowed is as: file" : null;
}
