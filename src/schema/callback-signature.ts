import { createHmac } from "node:crypto";

const maxSecrets = 2;

/** One secret, or two with white space between: `whsec_` and 24 to 64 bytes in base64. Null for what is none. */
export function parseCallbackSecrets(text: string): readonly Buffer[] | null {
  const secrets = text
    .trim()
    .split(/\s+/, maxSecrets + 1)
    .map(parseSecret);
  if (secrets.length > maxSecrets) return null;
  const found = secrets.filter((secret) => secret !== null);
  return found.length === secrets.length ? found : null;
}

function parseSecret(text: string): Buffer | null {
  const encoded = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(text)?.[1];
  if (encoded === undefined) return null;
  const secret = Buffer.from(encoded, "base64");
  return secret.length >= 24 && secret.length <= 64 ? secret : null;
}

/**
 * What a receiver verifies a body by, as Standard Webhooks has it: the message's id, the time in whole seconds, and the HMAC-SHA256 of
 * `id.timestamp.body`, one for each of `secrets`.
 */
export function callbackHeaders(
  secrets: readonly Buffer[],
  id: string,
  at: number,
  body: Buffer,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1000));
  const signed = (secret: Buffer): string =>
    createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const signatures = secrets.map((secret) => `v1,${signed(secret)}`).join(" ");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures };
}
