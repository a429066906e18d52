import { ExecutorError } from "../model/failure.ts";
import {
  maxSecretBytes,
  maxSecretCount,
  refuseSecretName,
  refuseUnfitSecret,
  type Secret,
  secretBytes,
} from "../model/secret.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";

/** Of all of one task's together: they are looked for in some forty forms each. */
export const maxSecretsBytes = 2 * maxSecretBytes;

/**
 * A task's secrets by their names, each once, asked of one provider after the other: the first that has one counts.
 * @throws ExecutorError policy_denied, naming the secret, for one that the tenant has not or that must not be used. What is no name of a
 * secret is not quoted: somebody may have put the value there.
 */
export async function resolveSecrets(
  providers: readonly SecretProvider[],
  tenantId: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly Secret[]> {
  const once = [...new Set(names)];
  if (once.length > maxSecretCount)
    throw new ExecutorError("policy_denied", `${once.length} secrets were asked for, at most ${maxSecretCount}`);
  const secrets: Secret[] = [];
  // One after the other, so that of several faults the same one is told each time.
  for (const name of once) secrets.push(await resolved(providers, tenantId, name, signal));
  const bytes = secrets.reduce((sum, { value }) => sum + value.length, 0);
  if (bytes > maxSecretsBytes)
    throw new ExecutorError(
      "policy_denied",
      `the secrets ${once.join(", ")} are longer than ${maxSecretsBytes} bytes together`,
    );
  return secrets;
}

async function resolved(
  providers: readonly SecretProvider[],
  tenantId: string,
  name: string,
  signal: AbortSignal,
): Promise<Secret> {
  refuseSecretName(name);
  for (const provider of providers) {
    const value = await provider.find(tenantId, name, signal);
    if (value === null) continue;
    const secret = { name, value: secretBytes(value) };
    refuseUnfitSecret(secret);
    return secret;
  }
  const message = `tenant ${tenantId} has no secret ${name}`;
  throw new ExecutorError("policy_denied", message, {
    hint: "the operator keeps secrets by tenant and name",
    details: [{ path: "/secrets", message }],
  });
}
