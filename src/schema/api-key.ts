import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { ApiKeyRecord } from "../model/api-key.ts";

/** A new key: the text its user gets, once, and what is kept of it. */
export function newApiKey(
  tenantId: string,
  createdAt: number,
  expiresAt: number | null,
): { readonly text: string; readonly record: ApiKeyRecord } {
  const id = randomBytes(6).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  const record = { id, tenantId, secretSha256: sha256(secret).toString("hex"), createdAt, expiresAt, revokedAt: null };
  return { text: `tx_${id}_${secret}`, record };
}

/** The two parts of a key's text, or null for what is none. */
export function apiKeyParts(text: string): { readonly id: string; readonly secret: string } | null {
  const match = /^tx_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/.exec(text);
  return match?.[1] === undefined || match[2] === undefined ? null : { id: match[1], secret: match[2] };
}

/**
 * Whether the secret opens the door now. Takes the same time for every wrong secret, and for a key that is not known.
 */
export function opens(record: ApiKeyRecord | null, secret: string, now: number): boolean {
  const expected = Buffer.from(record?.secretSha256 ?? "0".repeat(64), "hex");
  const isRight = timingSafeEqual(sha256(secret), expected);
  if (record === null || !isRight || record.revokedAt !== null) return false;
  return record.expiresAt === null || now < record.expiresAt;
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
