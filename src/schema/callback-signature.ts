import { createHmac } from "node:crypto";

/** `whsec_` and 24 to 64 bytes in base64. Null for what is none. */
export function parseCallbackSecret(text: string): Buffer | null {
  const encoded = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(text)?.[1];
  if (encoded === undefined) return null;
  const secret = Buffer.from(encoded, "base64");
  return secret.length >= 24 && secret.length <= 64 ? secret : null;
}

/**
 * What a receiver verifies a body by, as Standard Webhooks has it: the message's id, the time in whole seconds, and the HMAC-SHA256 of
 * `id.timestamp.body`.
 */
export function callbackHeaders(
  secret: Buffer,
  id: string,
  at: number,
  body: Buffer,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1000));
  const hmac = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${hmac}` };
}
