import { type GivenSecret, isSecretName } from "../../../model/secret.ts";

/** The `secrets` of `start` and `ready`. */
export const secretsOnWire = (secrets: readonly GivenSecret[]) =>
  secrets.map(({ name, as, value }) => ({ name, as, value_base64: Buffer.from(value).toString("base64") }));

/** The same back; null for what {@link secretsOnWire} does not write. */
export function readSecrets(value: unknown): readonly GivenSecret[] | null {
  if (!Array.isArray(value)) return null;
  const secrets = value.map(readSecret);
  return secrets.every((secret) => secret !== null) ? secrets : null;
}

function readSecret(value: unknown): GivenSecret | null {
  if (typeof value !== "object" || value === null) return null;
  const { name, as, value_base64: text } = value as Readonly<Record<string, unknown>>;
  if (typeof name !== "string" || !isSecretName(name) || (as !== "env" && as !== "file")) return null;
  if (typeof text !== "string") return null;
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? { name, as, value: bytes } : null;
}
