import { ExecutorError } from "../model/failure.ts";
import type { Result } from "../model/result.ts";
import { type GivenSecret, refuseUnfitSecret } from "../model/secret.ts";
import type { JsonObject, JsonValue, Task } from "../model/task.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";
import { type Redaction, redaction } from "../secrets/redaction.ts";
import { resolveSecrets } from "../secrets/resolve-secrets.ts";

/** The secrets of one attempt, and what takes them out of whatever is told of it. Never stored, never logged. */
export interface TaskSecrets {
  readonly given: readonly GivenSecret[];
  readonly redaction: Redaction;
  /** What names a host, and comes in lower case. */
  hostText(text: string): string;
  /** Marks that were written so far. */
  markCount(): number;
}

function taskSecrets(given: readonly GivenSecret[]): TaskSecrets {
  const whole = redaction(given);
  let hosts: Redaction | null = null;
  return {
    given,
    redaction: whole,
    hostText(text) {
      hosts ??= redaction(given, true);
      return hosts.text(text);
    },
    markCount: () => countOf(whole) + (hosts === null ? 0 : countOf(hosts)),
  };
}

const countOf = (redacting: Redaction): number =>
  Object.values(redacting.counts()).reduce((sum, count) => sum + count, 0);

/**
 * Null for a task that names none, at no cost.
 * @throws ExecutorError policy_denied, naming the secret, for one that its tenant has not or that cannot be given.
 */
export async function secretsFor(
  providers: readonly SecretProvider[],
  task: Task,
  signal: AbortSignal,
): Promise<TaskSecrets | null> {
  const given = await givenSecrets(providers, task, signal);
  return given.length === 0 ? null : taskSecrets(given);
}

/**
 * What a sandbox says it was given, for a process that takes it over. Null: its task names none.
 * @throws ExecutorError sandbox, when that is not what the task names: what it may print would not be known.
 */
export function secretsHandedBack(task: Task, given: readonly GivenSecret[]): TaskSecrets | null {
  const named = task.secrets ?? [];
  const isWhole = named.length === given.length && named.every(({ name }, index) => given[index]?.name === name);
  if (!isWhole)
    throw new ExecutorError(
      "sandbox",
      `it has ${given.length} secrets, and not the ${named.length} that its task names`,
    );
  return given.length === 0 ? null : taskSecrets(given);
}

/**
 * Asked at the way in too, so that who asks hears of a fault at once. What is there then may be gone when the task begins.
 * @throws as {@link secretsFor}
 */
export async function givenSecrets(
  providers: readonly SecretProvider[],
  task: Task,
  signal: AbortSignal,
): Promise<readonly GivenSecret[]> {
  const named = task.secrets ?? [];
  if (named.length === 0) return [];
  const names = named.map(({ name }) => name);
  const secrets = await resolveSecrets(providers, task.tenant_id, names, signal);
  const ways = new Map(named.map(({ name, as }) => [name, as]));
  const given = secrets.map((secret) => ({ ...secret, as: ways.get(secret.name) ?? "file" }));
  for (const secret of given) {
    refuseUnfitSecret(secret);
    refuseNoVariable(secret);
  }
  return given;
}

function refuseNoVariable({ name, as, value }: GivenSecret): void {
  if (as === "file" || !value.includes(0)) return;
  throw new ExecutorError("policy_denied", `secret ${name} holds a NUL byte, which no variable can`, {
    hint: 'ask for it "as": "file"',
  });
}

/**
 * What a result says of an attempt, without the attempt's secrets, and how often one was taken out of all that was told of it.
 * Its streams and the names of its files are without them before; ids and what the caller sent along come back as they came.
 * @param markedBefore by a process that had the attempt before.
 */
export function withoutSecrets(result: Result, secrets: TaskSecrets, markedBefore: number): Result {
  const { value, results } = result.output;
  const said = { error: result.error, value, results };
  // What is made of JSON keeps its shape but for text.
  const told = secrets.redaction.json(toJson(said)) as unknown as typeof said;
  const egress = result.egress.map((each) => ({
    ...each,
    host: hostTextOf(secrets, each.host),
    why: hostTextOf(secrets, each.why),
    hint: hostTextOf(secrets, each.hint),
  }));
  const mayNameHost = told.error !== null && egress.length > 0;
  return {
    ...result,
    error: mayNameHost && told.error ? { ...told.error, hint: hostTextOf(secrets, told.error.hint) } : told.error,
    egress,
    output: { ...result.output, value: told.value, results: told.results },
    metrics: { ...result.metrics, redactions: markedBefore + secrets.markCount() },
  };
}

const hostTextOf = (secrets: TaskSecrets, text: string | null): string | null =>
  text === null ? null : secrets.hostText(text);

/** A result is made of JSON only; an interface just has no index signature to say so. */
const toJson = (value: object): JsonValue => value as JsonObject;
